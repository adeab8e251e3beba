// The gateway's own page: it speaks the language that its chat speaks.

import "./haechi-chat.js";

const chat = document.querySelector("haechi-chat");
const speak = () => {
  const english = chat.lang === "en";
  document.documentElement.lang = english ? "en" : "ko";
  document.title = english ? "Haechi" : "해치";
};
new MutationObserver(speak).observe(chat, { attributeFilter: ["lang"] });
chat.lang = document.documentElement.lang;
await chat.updateComplete;
document.documentElement.dataset.ready = "true";
