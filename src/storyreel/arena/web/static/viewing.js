"use strict";
// One pair: loads both clips, plays them in step, reports what was played, and opens the answers when the server agrees.
(() => {
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage"), left = byId("left"), right = byId("right"), both = [left, right];
  const control = byId("control"), again = byId("again"), progress = byId("progress"), form = byId("vote");
  const seconds = Number(stage.dataset.seconds), rate = Number(stage.dataset.rate);
  const answers = [...form.querySelectorAll("button, input[type=radio]")];
  const ENOUGH = 0.95, REPORT_MS = 8000, STUCK_MS = 1000, HOPELESS_MS = 6000, MOST_STALLS = 4;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const sync = Sync.follow(left, right, rate);
  let stalls = 0, open = false, playing = false, moved = 0, lastTimes = [0, 0], reporting = null, given = false;

  const say = (text) => { if (byId("state").textContent !== text) byId("state").textContent = text; };
  const over = (video) => video.ended || video.currentTime >= seconds - 0.5 / rate;
  const ended = () => both.every(over);
  const played = (video) => {
    let sum = 0;
    for (let i = 0; i < video.played.length; i++) sum += video.played.end(i) - video.played.start(i);
    return sum;
  };
  const watched = () => both.every((video) => played(video) >= ENOUGH * seconds);

  function show() {
    control.textContent = playing ? "Pause" : ended() ? "Play again" : "Play";
    progress.value = Math.min(...both.map((video) => video.currentTime)) / seconds;
  }

  async function ask(path, body) {
    const whole = {form: stage.dataset.form, pair: stage.dataset.pair, ...body};
    const response = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(whole)});
    if ([403, 404, 409].includes(response.status)) location.reload();  // answered in another tab, or given to others
    if (!response.ok) throw new Error(String(response.status));
    return response.json();
  }

  // Tells the server what was played; until it agrees that both were watched, asks again when it says so.
  function report() {
    reporting ??= send().finally(() => { reporting = null; });
    return reporting;
  }

  async function send() {
    const body = {left: played(left), right: played(right), stalls};
    const drift = sync.drift();
    if (watched() && drift && !open) body.drift = drift;
    try {
      const answer = await ask("/play", body);
      if (answer.ready) unlock();
      else if (watched()) setTimeout(report, 1000 * Math.max(0.2, answer.wait));
    } catch {
      setTimeout(report, 3000);
    }
  }

  function unlock() {
    if (open) return;
    open = true;
    stage.dataset.drift = JSON.stringify(sync.drift());
    for (const answer of answers) answer.disabled = false;
    showQuestions();
    say("You can answer now.");
  }

  async function play() {
    if (ended()) both.forEach((video) => { video.currentTime = 0; });
    sync.restart();
    right.currentTime = left.currentTime;
    try {
      await Promise.all(both.map((video) => video.play()));
      playing = true;
      moved = performance.now();
      say(open ? "You can answer now." : "Watch both videos to their end.");
      report();
    } catch {
      pause();
      say("Press Play.");
    }
    show();
  }

  function pause() {
    playing = false;
    both.forEach((video) => video.pause());
    show();
  }

  async function giveUp() {
    pause();
    say("The videos do not play well just now; another pair comes.");
    for (;;) {
      try {
        await ask("/stall", {});
        location.reload();
        return;
      } catch {
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  }

  // A video that stands still while it should play: wait for it, both together, and say so.
  function look() {
    if (!playing) return;
    show();
    const times = both.map((video) => video.currentTime), now = performance.now();
    if (ended()) {
      pause();
      report();
      if (!open) say("Just a moment.");
      return;
    }
    if (both.every((video, at) => over(video) || times[at] !== lastTimes[at])) moved = now;
    lastTimes = times;
    const stuck = now - moved;
    if (stuck > STUCK_MS && !stage.dataset.stuck) {
      stage.dataset.stuck = "yes";
      stalls += 1;
      say("The videos got stuck; waiting for them.");
      if (stalls >= MOST_STALLS) giveUp();
    } else if (stuck > HOPELESS_MS) {
      giveUp();
    } else if (stuck <= STUCK_MS && stage.dataset.stuck) {
      delete stage.dataset.stuck;
      say("Watch both videos to their end.");
    }
    if (watched() && !open) report();
  }

  const nextQuestion = () => [...form.querySelectorAll(".question")].find((one) => !one.querySelector(":checked"));
  const complete = () => !nextQuestion();

  function showQuestions() {
    if (!open || !byId("send")) return;
    byId("send").disabled = !complete();
    for (const one of form.querySelectorAll(".question")) one.classList.toggle("next", one === nextQuestion());
  }

  function toggle() {
    if (control.disabled) return;
    if (playing) { pause(); say("Paused."); report(); } else play();
  }

  function fromStart() {
    if (again.disabled) return;
    both.forEach((video) => { video.currentTime = 0; });
    play();
  }

  function answer(value) {
    if (!open) return;
    const button = form.querySelector(`.choice button[value=${value}]`);
    if (button) return button.click();
    nextQuestion()?.querySelector(`input[value=${value}]`).click();
  }

  const KEYS = {" ": toggle, r: fromStart, R: fromStart, ArrowLeft: () => answer("left"), ArrowRight: () => answer("right"), ArrowDown: () => answer("tie"), Enter: () => complete() && byId("send")?.click()};
  document.addEventListener("keydown", (event) => {
    const own = event.target.closest?.("button, summary, a, input"), arrow = event.key.startsWith("Arrow");
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !byId("keys").checked || !KEYS[event.key]) return;
    // What is in focus keeps its own keys: Space and Enter press it, arrows move within a question's answers.
    if (own && !arrow && event.key.toLowerCase() !== "r" || own?.type === "radio" && arrow) return;
    if (arrow && (!open || event.key === "ArrowDown" && !form.querySelector("[value=tie]"))) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  form.addEventListener("change", showQuestions);
  form.addEventListener("submit", (event) => {
    if (!open || given) { event.preventDefault(); return; }
    given = true;
    pause();
    say("Sending.");
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  control.addEventListener("click", toggle);
  again.addEventListener("click", fromStart);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && playing) { pause(); say("Paused, since this page was not in front."); report(); }
  });

  async function load() {
    const shares = [0, 0];
    const blobs = await Promise.all(both.map((video, at) => Clips.fetchWhole(video.dataset.from, (share) => {
      shares[at] = share;
      progress.value = (shares[0] + shares[1]) / 2;
      say("Loading both videos.");
    }, () => say("Loading is slow; trying again."))));
    await Promise.all(both.map((video, at) => new Promise((ready, failed) => {
      video.addEventListener("canplaythrough", ready, {once: true});
      video.addEventListener("error", () => failed(new Error("the clip does not play")), {once: true});
      video.src = URL.createObjectURL(blobs[at]);
    })));
    progress.value = 0;
    progress.setAttribute("aria-label", "Played");
    control.disabled = again.disabled = false;
    stage.dataset.loaded = "yes";
    setInterval(look, 200);
    setInterval(() => { if (playing) report(); }, REPORT_MS);
    if (still || document.hidden) say("Press Play.");
    else await play();
  }

  load().catch((error) => error.gone ? location.reload() : giveUp());
})();
