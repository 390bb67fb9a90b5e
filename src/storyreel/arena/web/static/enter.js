"use strict";
// The secret may stand behind the # of the address, which browsers keep to themselves; it is gone from there at once.
(() => {
  function enter() {
    const secret = decodeURIComponent(location.hash.slice(1));
    if (!secret) return;
    history.replaceState(null, "", location.pathname);
    document.getElementById("secret").value = secret;
    document.getElementById("enter").requestSubmit();
  }

  addEventListener("hashchange", enter);
  enter();
})();
