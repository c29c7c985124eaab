// An authorization server, oidc-provider, for the tests: anybody may sign in, by any name.
// Who is called `reader` gets the scope `read` alone. It prints its URL.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const scopes = ['read', 'work', 'redrive', 'publish'];
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    scopes: ['openid', 'offline_access', ...scopes],
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    extraTokenClaims: (context, token) => ({ email: `${token.accountId}@example.com` }),
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (context, resource) => ({
          audience: resource,
          accessTokenFormat: 'jwt',
          scope: context.oidc?.session?.accountId === 'reader' ? 'read' : scopes.join(' '),
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
