//! The serving side of a connection, until the service's address is connected.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use trunkline_net::tcp::{self, LocalPort};
use trunkline_plugin::Reason;

use crate::candidates::UNKNOWN_SERVICE;
use crate::config::Endpoint;
use crate::greeting::{CONNECTED, GreetingReader, Read, Service};
use crate::pump::Pump;
use crate::window::{Spare, Window};

/// The services of this plugin, with their addresses.
pub(crate) type Services = BTreeMap<Service, Endpoint>;

/// The result of reading a greeting.
pub(crate) enum Greeted {
    /// More bytes are needed.
    Partly,
    /// Connecting to the service's address. The pump holds the bytes after the greeting.
    Connecting(Box<Pump>, String),
}

/// Reads more of a greeting, and begins to connect to the service that it names.
///
/// # Errors
///
/// Why the caller gets no connection: `bad-greeting`, `unknown-service` or `unreachable`.
pub(crate) fn greet(
    services: &Services,
    reader: &mut GreetingReader,
    spare: &Spare,
    bytes: &[u8],
) -> Result<Greeted, Reason> {
    let (service, rest) = match reader.read(bytes) {
        Read::Partly => return Ok(Greeted::Partly),
        Read::Bad(why) => return Err(Reason::new("bad-greeting", why)),
        Read::Whole(service, rest) => (service, rest),
    };
    let Some(Endpoint(address)) = services.get(&service) else {
        return Err(Reason::new(UNKNOWN_SERVICE, format!("no service {service} is served here")));
    };
    let title = format!("{service} at {address}");
    let socket = tcp::dial(*address, LocalPort::Any).map_err(|error| unreachable(&error))?;
    // The answer is sent before the service's bytes.
    let mut pump = Box::new(Pump::new(socket, Window::new(spare), &[CONNECTED]));
    pump.owe(service.greeting().len());
    pump.give(rest).map_err(|error| unreachable(&error))?;
    Ok(Greeted::Connecting(pump, title))
}

/// Whether the pending connection is up.
///
/// # Errors
///
/// `unreachable`, with the kernel's error.
pub(crate) fn is_connected(pump: &Pump) -> Result<bool, Reason> {
    let connected = tcp::connected(pump.socket()).map_err(|error| unreachable(&error))?;
    Ok(connected.is_some())
}

/// The peer learns the error, but not the address. Only some errors are of the service. Others, as
/// a lack of ports or descriptors, are of this machine.
fn unreachable(error: &io::Error) -> Reason {
    let hint = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::TimedOut => "; does it run?",
        _ => "",
    };
    Reason::new("unreachable", format!("the service cannot be reached: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(name: &str) -> Vec<u8> {
        Service::try_from(name.to_owned()).unwrap().greeting()
    }

    fn refusal(services: &Services, greeting: &[u8]) -> String {
        match greet(services, &mut GreetingReader::default(), &Spare::default(), greeting) {
            Err(reason) => reason.code().to_owned(),
            Ok(_) => panic!("{greeting:?} was not refused"),
        }
    }

    #[test]
    fn an_unknown_service_is_refused() {
        let services = Services::new();
        assert_eq!(refusal(&services, &greeting("web")), "unknown-service");
        assert_eq!(refusal(&services, &[0]), "bad-greeting");
    }

    #[test]
    fn only_a_service_that_refuses_is_asked_whether_it_runs() {
        let text = |code: i32| unreachable(&io::Error::from_raw_os_error(code)).text().to_owned();
        const EADDRNOTAVAIL: i32 = 99;
        const ECONNREFUSED: i32 = 111;
        let ports = text(EADDRNOTAVAIL);
        assert!(ports.contains("Cannot assign requested address"), "{ports}");
        assert!(!ports.contains("does it run"), "{ports}");
        assert!(text(ECONNREFUSED).ends_with("; does it run?"));
    }

    #[test]
    fn a_known_service_is_connected() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Service::try_from("web".to_owned()).unwrap();
        let services = Services::from([(service, Endpoint(listener.local_addr().unwrap()))]);
        let greeted =
            greet(&services, &mut GreetingReader::default(), &Spare::default(), &greeting("web"))
                .unwrap();
        assert!(matches!(greeted, Greeted::Connecting(..)));
        listener.accept().expect("somebody connects");
    }
}
