// What a bank's page does with the chat: loads it, and listens to what happens there. No event carries anybody's words.

import "./haechi-chat.js";

for (const kind of ["toggle", "message", "feedback", "error"]) {
  addEventListener(`haechi-chat-${kind}`, ({ detail }) => console.info(kind, detail));
}
document.documentElement.dataset.ready = "true";
