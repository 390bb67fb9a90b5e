"use strict";
// Tells the form whether this browser can show the study at all: H.264 in MP4, fetched piece by piece.
(() => {
  const can = document.createElement("video").canPlayType('video/mp4; codecs="avc1.64001f"') !== "" && "ReadableStream" in window;
  document.querySelector("#consent [name=plays]").value = can ? "yes" : "no";
  document.getElementById("cannot").hidden = can;
})();
