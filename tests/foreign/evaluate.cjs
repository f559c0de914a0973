// Reads lines of {policy, requests: [{principal, action, ctx}]}, writes a line of results each: what the resource policy says.
const { createInterface } = require('node:readline')
const path = require('node:path')
const root = path.join(process.argv[2], '@cloud-copilot')
const { authorize } = require(path.join(root, 'iam-simulate/dist/cjs/core_engine/CoreSimulatorEngine.js'))
const { AwsRequestImpl } = require(path.join(root, 'iam-simulate/dist/cjs/request/request.js'))
const { RequestContextImpl } = require(path.join(root, 'iam-simulate/dist/cjs/requestContext.js'))
const { DiscoveryContextKeyConstraints } = require(path.join(root, 'iam-simulate/dist/cjs/context_keys/discoveryContextKeyConstraints.js'))
const { loadPolicy } = require(path.join(root, 'iam-policy/dist/cjs/index.js'))

const simulationParameters = { simulationMode: 'Strict', discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) }
const resource = { resource: 'arn:aws:iam::111122223333:role/target', accountId: '111122223333' }

createInterface({ input: process.stdin }).on('line', (line) => {
  const { policy, requests } = JSON.parse(line)
  const resourcePolicy = loadPolicy(policy, { name: 'trust' })
  const results = requests.map(({ principal, action, ctx }) => {
    try {
      const request = new AwsRequestImpl(principal, resource, action, new RequestContextImpl(ctx))
      return authorize({
        request, resourcePolicy, simulationParameters, sessionPolicy: undefined, identityPolicies: [], serviceControlPolicies: [],
        resourceControlPolicies: [], permissionBoundaries: undefined, vpcEndpointPolicies: undefined
      }).resourceAnalysis.result
    } catch (error) {
      return `error: ${error.message}`
    }
  })
  console.log(JSON.stringify(results))
})
