//! The acceptor over stdin and stdout, for the `shs1-test` suite: `shs1_server NETWORK_HEX
//! SECRET_KEY_HEX PUBLIC_KEY_HEX`. After the handshake it writes the keys and nonces.

mod wire;

use std::process::ExitCode;

use trunkline_shs::{Handshake, Identity};
use wire::{Failure, Stream, shake, unhex};

fn main() -> ExitCode {
    wire::run("shs1_server", "NETWORK_HEX SECRET_KEY_HEX PUBLIC_KEY_HEX", accept)
}

fn accept(arguments: &[String]) -> Result<(), Failure> {
    // A secret key is the seed and the public key.
    let secret: [u8; 64] = unhex(&arguments[1])?;
    let identity = Identity::from_seed(&std::array::from_fn(|i| secret[i]));
    if *identity.public() != unhex(&arguments[2])? {
        return Err("the secret and the public key do not belong together".into());
    }
    let handshake = Handshake::accept(&unhex(&arguments[0])?, &identity, wire::ephemeral());
    let mut stream = Stream(std::io::stdin(), std::io::stdout());
    let (session, _) = shake(handshake, Vec::new(), &mut stream, |_| true, |_, _| Ok(()))?;
    wire::outcome(&session)
}
