"use strict";
// Fetches a clip whole before it plays, and goes on where a connection broke.
const Clips = (() => {
  const IDLE_MS = 10000, MOST_FAILURES = 5;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  async function readOn(url, kept, onBytes) {
    const stop = new AbortController();
    let idle = setTimeout(() => stop.abort(), IDLE_MS);
    try {
      const response = await fetch(url, {headers: kept.bytes ? {Range: `bytes=${kept.bytes}-`} : {}, signal: stop.signal, cache: "no-store"});
      if (response.status !== 200 && response.status !== 206) throw Object.assign(new Error("refused"), {gone: response.status === 404});
      if (response.status === 200) {
        kept.parts = [];
        kept.bytes = 0;
        kept.size = Number(response.headers.get("Content-Length"));
      }
      const reader = response.body.getReader();
      for (;;) {
        const {done, value} = await reader.read();
        if (done) return;
        clearTimeout(idle);
        idle = setTimeout(() => stop.abort(), IDLE_MS);
        kept.parts.push(value);
        kept.bytes += value.length;
        onBytes(kept.bytes / kept.size);
      }
    } finally {
      clearTimeout(idle);
    }
  }

  // The clip as a blob. onShare hears how much of it is there (0 to 1), onTrouble that it has to be asked for again.
  async function fetchWhole(url, onShare, onTrouble) {
    const kept = {parts: [], bytes: 0, size: Infinity};
    for (let failures = 0; kept.bytes < kept.size;) {
      const before = kept.bytes;
      try {
        await readOn(url, kept, onShare);
      } catch (error) {
        if (error.gone) throw error;
      }
      if (kept.bytes >= kept.size) break;
      failures = kept.bytes > before ? 0 : failures + 1;
      if (failures >= MOST_FAILURES) throw new Error("the clip does not arrive");
      onTrouble();
      await pause(500 * (failures + 1));
    }
    return new Blob(kept.parts, {type: "video/mp4"});
  }

  return {fetchWhole};
})();
