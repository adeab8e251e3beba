// An OpenID provider on a loopback port for the tests: one client, people by their login, the provider's own pages.
// Arguments: port, the console's URL. Prints "ready" when it listens.

import Provider from "oidc-provider";

const [port, consoleUrl] = process.argv.slice(2);
const groups = { kim: ["bank-reviewers"], lee: ["bank-approvers", "bank-reviewers"], park: ["canteen"] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "console",
      client_secret: "a client secret for tests, long enough",
      redirect_uris: [`${consoleUrl}/login/provider/return`],
      post_logout_redirect_uris: [`${consoleUrl}/logged-out`],
      backchannel_logout_uri: `${consoleUrl}/login/provider/logout`,
      backchannel_logout_session_required: true,
    },
  ],
  claims: { openid: ["sub", "groups", "name", "preferred_username"], profile: [] },
  conformIdTokenClaims: false,
  cookies: { keys: ["a cookie key for tests"] },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  // The provider refuses to call loopback addresses, where the console of the tests is.
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, groups: groups[id] ?? [], name: `${id} name`, preferred_username: id }),
  }),
});

// GET /clock/SECONDS: how far the provider's clock is ahead, so that nobody has to wait until something expires.
const now = Date.now;
provider.use(async (context, next) => {
  if (!context.path.startsWith("/clock/")) return next();
  const ahead = Number(context.path.slice("/clock/".length)) * 1000;
  Date.now = () => now() + ahead;
  context.body = "set";
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
