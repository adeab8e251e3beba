// Loading this file makes <haechi-chat> known to the page; a second copy on one page changes nothing.

import { HaechiChat } from "./haechi-chat.js";

if (!customElements.get("haechi-chat")) customElements.define("haechi-chat", HaechiChat);

export { HaechiChat };
export { personalData } from "./personal-data.js";
