// The same calls with the TypeScript SDK. Arguments: mode, then the server's command line.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [mode, command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: { ...process.env } });
const client = new Client({ name: 'tests', version: '0' }, { versionNegotiation: { mode } });
await client.connect(transport);
const tools = await client.listTools();
const call = (name, args) => client.callTool({ name, arguments: args });
const native = await call('ecs_list_clusters', {});
const served = await call('ecs__ecs_resource_management', { api_operation: 'ListClusters' });
const denied = await call('ecs__ecs_resource_management', { api_operation: 'DeleteCluster' });
let unknown = false;
try {
  await call('no_such_tool', {});
} catch {
  unknown = true;
}
console.log(JSON.stringify({
  revision: client.getNegotiatedProtocolVersion(),
  tools: tools.tools.length,
  native: native.structuredContent,
  served: served.content[0].text,
  denied: denied.isError === true && denied.content[0].text.includes('Denied by policy'),
  unknown,
}));
await client.close();
