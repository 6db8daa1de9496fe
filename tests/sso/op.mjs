// An OpenID provider for the tests: npm's oidc-provider, certified by the OpenID Foundation. Whoever asks is signed in as
// LOGIN at once. Says its port on stdout.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [redirect] = process.argv.slice(2);
// Who started this reads one line, and may close the pipe then.
console.info = console.warn;
const people = {
  alice: { email: "alice@site.example", email_verified: true, preferred_username: "alice", groups: ["builders"] },
  mallory: { email: "mallory@site.example", email_verified: false, preferred_username: "mallory", groups: [] },
};
const server = createServer().listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [{ client_id: "resoftai", client_secret: "a secret: with / signs", redirect_uris: [redirect] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username", "groups"] },
    conformIdTokenClaims: true,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    cookies: { keys: ["tests only"] },
  });
  const callback = provider.callback();
  server.on("request", async (request, response) => {
    if (!request.url.startsWith("/interaction/")) return callback(request, response);
    const { params, session, prompt } = await provider.interactionDetails(request, response);
    const accountId = session?.accountId ?? process.env.LOGIN;
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope("openid email profile");
    const grantId = await grant.save();
    await provider.interactionFinished(request, response, { login: { accountId }, consent: { grantId } }, {});
  });
  console.log(port);
});
