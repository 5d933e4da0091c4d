// Echoes over net~shs with the JavaScript packages: echo_server.js NETWORK_BASE64.
// Prints its address; ends when stdin ends.
'use strict'
const MultiServer = require('multiserver')
const net = require('multiserver/plugins/net')
const shs = require('multiserver/plugins/shs')
const chloride = require('chloride')
const pull = require('pull-stream')

const auth = (id, cb) => cb(null, true)
const appKey = Buffer.from(process.argv[2], 'base64')
const keys = chloride.crypto_sign_keypair()

// The plugin chooses a random port, which somebody else may have.
function listen (attempts) {
  const port = 20000 + Math.floor(Math.random() * 40000)
  const server = MultiServer([
    [net({ scope: 'device', host: '127.0.0.1', port }), shs({ keys, appKey, auth })]
  ])
  server.server(
    (stream) => pull(stream, stream),
    (err) => console.error('server: ' + err.message),
    (err) => {
      if (!err) return console.log(`net:127.0.0.1:${port}~shs:${keys.publicKey.toString('base64')}`)
      if (attempts === 0) throw err
      listen(attempts - 1)
    }
  )
}

process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
listen(10)
