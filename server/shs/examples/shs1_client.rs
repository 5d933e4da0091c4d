//! The dialler over stdin and stdout, for the `shs1-test` suite: `shs1_client NETWORK_HEX
//! SERVER_PUBLIC_KEY_HEX`. After the handshake it writes the keys and nonces.

mod wire;

use std::process::ExitCode;

use trunkline_shs::{Handshake, Identity};
use wire::{Failure, Stream, shake, unhex};

fn main() -> ExitCode {
    wire::run("shs1_client", "NETWORK_HEX SERVER_PUBLIC_KEY_HEX", dial)
}

fn dial(arguments: &[String]) -> Result<(), Failure> {
    let mut seed = [0; 32];
    dryoc::rng::copy_randombytes(&mut seed);
    let identity = Identity::from_seed(&seed);
    let (network, peer) = (unhex(&arguments[0])?, unhex(&arguments[1])?);
    let mut first = Vec::new();
    let handshake = Handshake::dial(&network, &identity, &peer, wire::ephemeral(), &mut first)?;
    let mut stream = Stream(std::io::stdin(), std::io::stdout());
    let (session, _) = shake(handshake, first, &mut stream, |_| true, |_, _| Ok(()))?;
    wire::outcome(&session)
}
