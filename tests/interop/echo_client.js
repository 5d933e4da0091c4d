// Dials net~shs with the JavaScript packages, sends a pattern and checks the echo:
// echo_client.js ADDRESS NETWORK_BASE64 BYTES. The exit code is 0 only when all was right.
'use strict'
const MultiServer = require('multiserver')
const net = require('multiserver/plugins/net')
const shs = require('multiserver/plugins/shs')
const chloride = require('chloride')
const pull = require('pull-stream')

const [address, network, bytes] = process.argv.slice(2)
const auth = (id, cb) => cb(null, true)
const keys = chloride.crypto_sign_keypair()
const appKey = Buffer.from(network, 'base64')
const client = MultiServer([
  [net({ scope: 'device', host: '127.0.0.1' }), shs({ keys, appKey, auth })]
])

const pattern = Buffer.alloc(Number(bytes))
for (let i = 0; i < pattern.length; i++) pattern[i] = (i * 31 + (i >> 8)) & 0xff
// Writes of an odd length, so that frames of many lengths are made.
const writes = []
for (let at = 0; at < pattern.length; at += 100003) writes.push(pattern.subarray(at, at + 100003))

function fail (what) {
  console.error('client: ' + what)
  process.exit(1)
}

client.client(address, (err, stream) => {
  if (err) return fail(err.message)
  pull(
    pull.values(writes),
    stream,
    pull.collect((err, echo) => {
      if (err) return fail(err.message || String(err))
      const back = Buffer.concat(echo)
      if (!back.equals(pattern)) return fail(`${back.length} bytes came back, and not the same`)
      process.exit(0)
    })
  )
})
