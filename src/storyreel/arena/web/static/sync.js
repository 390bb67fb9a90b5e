"use strict";
// Keeps two videos on one clock. The right one follows the left one: a little faster or slower, or with a jump.
const Sync = (() => {
  const START_FRAMES = 0.2, REST_FRAMES = 0.08, JUMP_MS = 250, CATCH_UP_MS = 700, MOST_CHANGE = 0.15, WINDOW = 5;
  const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

  function percentile(values, share) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
  }

  // How far the right one is behind, in ms, sampled with each frame shown; `samples` are the sizes in frames.
  function follow(left, right, rate) {
    const frameMs = 1000 / rate, shown = new Map(), recent = [], samples = [];

    function correct() {
      const behind = median(recent);
      if (Math.abs(behind) > JUMP_MS) {
        right.currentTime = left.currentTime;
        recent.length = 0;
        right.playbackRate = 1;
      } else if (Math.abs(behind) > START_FRAMES * frameMs || right.playbackRate !== 1 && Math.abs(behind) > REST_FRAMES * frameMs) {
        right.playbackRate = 1 + Math.max(-MOST_CHANGE, Math.min(MOST_CHANGE, behind / CATCH_UP_MS));
      } else {
        right.playbackRate = 1;
      }
    }

    function sample(behind) {
      samples.push(Math.abs(behind) / frameMs);
      recent.push(behind);
      if (recent.length > WINDOW) recent.shift();
      if (recent.length === WINDOW) correct();
    }

    function watch(video) {
      video.requestVideoFrameCallback((now, frame) => {
        if (!video.paused) {
          // When the clip's first frame would have been on the screen, had it played from there without a break.
          shown.set(video, {start: frame.expectedDisplayTime - 1000 * frame.mediaTime, at: now});
          const other = shown.get(video === left ? right : left);
          if (video === right && other && !left.paused && now - other.at < 3 * frameMs) sample(shown.get(right).start - other.start);
        }
        watch(video);
      });
    }

    if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
      watch(left);
      watch(right);
    } else {
      setInterval(() => left.paused || right.paused || sample(1000 * (left.currentTime - right.currentTime)), 250);
    }
    return {
      restart() {
        shown.clear();
        recent.length = 0;
        right.playbackRate = 1;
      },
      drift: () => samples.length ? [percentile(samples, 0.5), percentile(samples, 0.95)] : null,
      samples,
    };
  }

  return {follow};
})();
