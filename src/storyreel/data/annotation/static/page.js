"use strict";

const find = (id) => document.getElementById(id);

async function put(target, body) {
  const response = await fetch(target, { method: "PUT", body });
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(found.error || `error ${response.status}`);
  return found;
}

function tell(place, text, failed = false) {
  place.textContent = text;
  place.classList.toggle("failed", failed);
}

function desk(text) {
  let timer = 0;
  let saved = text.value;
  let running = Promise.resolve();

  const count = () => {
    find("words").textContent = `${text.value.split(/\s+/).filter(Boolean).length} words`;
  };
  const send = async (accept) => {
    const value = text.value;
    if (value === saved && !accept) return true;
    try {
      const found = await put(text.dataset.target + (accept ? "?accept" : ""), value);
      saved = value;
      find("written").textContent = found.written;
      tell(find("state"), found.by ? `saved, by ${found.by}` : "not written: the draft stands");
      return true;
    } catch (error) {
      tell(find("state"), `NOT SAVED: ${error.message}`, true);
      return false;
    }
  };
  const save = (accept = false) => {
    clearTimeout(timer);
    running = running.then(() => send(accept));
    return running;
  };
  const go = async (id, accept) => {
    const link = find(id);
    if ((await save(accept)) && link) location.href = link.href;
  };

  text.addEventListener("input", () => {
    count();
    clearTimeout(timer);
    timer = setTimeout(save, 400);
  });
  text.form.addEventListener("submit", (event) => {
    event.preventDefault();
    go("after", true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter") go("after", true);
    else if (event.key === "PageDown") go("after", false);
    else if (event.key === "PageUp") go("before", false);
    else if (event.ctrlKey && event.key === "Home") go("overview", false);
    else if (event.ctrlKey && event.key === " ") find("clip").paused ? find("clip").play() : find("clip").pause();
    else return;
    event.preventDefault();
  });
  document.querySelectorAll("nav a").forEach((link) =>
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go(link.id, false);
    }),
  );
  addEventListener("beforeunload", (event) => {
    if (text.value !== saved) {
      save();
      event.preventDefault();
    }
  });
  count();
  text.setSelectionRange(text.value.length, text.value.length);
}

function takeIn(file) {
  file.addEventListener("change", async () => {
    try {
      const found = await put(file.dataset.target, await file.files[0].text());
      tell(find("taken"), `${found.taken} of ${found.texts} texts are new.`);
      setTimeout(() => location.reload(), 800);
    } catch (error) {
      tell(find("taken"), error.message, true);
    }
  });
}

if (find("clip") && matchMedia("(prefers-reduced-motion: reduce)").matches) {
  find("clip").autoplay = false;
  find("clip").pause();
}
if (find("text")) desk(find("text"));
if (find("file")) takeIn(find("file"));
