//! Forwarding a TCP connection: the `forward` sample over a link, against two `socat` in a row,
//! which copy the bytes as often.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use trunkline_tests::demo::Server;
use trunkline_tests::folder::Folder;

use crate::bare::child::Child;
use crate::bare::{self, Place};
use crate::contender::{Contender, Group, Metric, Sample};
use crate::cores::Layout;
use crate::plan::BULK;
use crate::processes::with_cpu;
use crate::programs::Programs;
use crate::shapes::{MESSAGE, place};

pub(crate) const FORWARD_TRIPS: &str = "forwarded round trips";
pub(crate) const FORWARD_RATE: &str = "forwarded throughput";
pub(crate) const SOCAT: &str = "two socat, unix between them";
pub(crate) const FORWARD: &str = "two forward plugins, link between them";

/// The two ways to the same service, and the service itself.
pub(crate) struct Forwards {
    service: Child,
    entrance: Place,
    processes: Vec<u32>,
    servers: [Server; 2],
    socat: Result<Socat, String>,
    /// It is dropped last.
    folder: Folder,
}

/// Two `socat` in a row. Dropping it ends them. The processes that they fork for a connection end
/// with the connection.
struct Socat {
    entrance: Place,
    processes: Vec<std::process::Child>,
}

impl Forwards {
    pub(crate) fn start(programs: &Programs) -> Result<Forwards, String> {
        let folder = Folder::new();
        let service = Child::start(&programs.bench, "bare", &place(folder.path(), "service-tcp"))?;
        let Place::Tcp(address) = service.place else { return Err("no tcp address".to_owned()) };
        let start = |name: &'static str, more: &str, config: &str| {
            let listen = format!("listen = [\"unix:{name}.sock~noauth\"]");
            let server =
                format!("[server]\nname = {name:?}\nkey = \"{name}.key\"\n{listen}\n{more}");
            let path = programs.forward.display().to_string();
            let plugin =
                format!("[[plugin]]\npath = {path:?}\nexpose = \"peers\"\n[plugin.config]");
            let text = format!("{server}\n{plugin}\n{config}\n");
            Server::start(&programs.trunkline, name, folder.write(&format!("{name}.toml"), text))
        };
        let far = start("far", "", &format!("serve = {{ service = \"{address}\" }}"))?;
        let peer = "[[peer]]\naddress = \"unix:far.sock~noauth\"\nkeep = true";
        let listen = "listen = [{ address = \"127.0.0.1:0\", to = \"service\", server = \"far\" }]";
        let near = start("near", peer, listen)?;
        near.wait_for_link("far")?;
        let entrance = Place::Tcp(near.forward_address()?);
        let processes = [far.id(), near.id(), service.id()].into();
        let socat = Socat::start(folder.path(), &service.place);
        Ok(Forwards { service, entrance, processes, servers: [near, far], socat, folder })
    }

    pub(crate) fn groups(&self) -> [Group<'_>; 2] {
        let trips = "64-byte round trips through a forwarded TCP connection".to_owned();
        let rate = "Throughput of a forwarded TCP connection, one way".to_owned();
        [
            self.group(FORWARD_TRIPS, trips, Metric::Latency, |place, length| {
                bare::ping(place, MESSAGE, length)
            }),
            self.group(FORWARD_RATE, rate, Metric::Rate, |place, length| {
                bare::flood(place, BULK, length)
            }),
        ]
    }

    fn group(
        &self,
        key: &'static str,
        title: String,
        metric: Metric,
        measure: fn(&Place, std::time::Duration) -> Result<Sample, String>,
    ) -> Group<'_> {
        let (service, entrance) = (&self.service, &self.entrance);
        let direct = Contender::new("not forwarded", move |length| {
            with_cpu(&[service.id()], || measure(&service.place, length))
        });
        let forward = Contender::new(FORWARD, move |length| {
            with_cpu(&self.processes, || measure(entrance, length))
        });
        let socat = match &self.socat {
            // Its processes end with each connection, so their processor time is not known.
            Ok(socat) => Contender::new(SOCAT, move |length| {
                let sample = measure(&socat.entrance, length)?;
                Ok(Sample { cpu: f64::NAN, ..sample })
            }),
            Err(why) => Contender::skipped(SOCAT, why.clone()),
        };
        let contenders = vec![direct, socat, forward.against(SOCAT)];
        Group { key, title, metric, x: 0, contenders }
    }

    /// Assigns the first half of each path and this process to the near core, and the rest to the
    /// far one.
    pub(crate) fn lay_out(&self, layout: &Layout) -> Result<(), String> {
        let [near, far] = &self.servers;
        [std::process::id(), near.id()].into_iter().try_for_each(|process| layout.near(process))?;
        [far.id(), self.service.id()].into_iter().try_for_each(|process| layout.far(process))?;
        if let Ok(Socat { processes, .. }) = &self.socat
            && let [far, near] = &processes[..]
        {
            layout.near(near.id())?;
            layout.far(far.id())?;
        }
        Ok(())
    }

    pub(crate) fn stop(self) -> Result<(), String> {
        let Forwards { servers, folder, service, socat, .. } = self;
        drop((socat, service));
        servers.into_iter().try_for_each(Server::stop)?;
        drop(folder);
        Ok(())
    }
}

impl Socat {
    fn start(folder: &Path, service: &Place) -> Result<Socat, String> {
        let Place::Tcp(address) = service else { return Err("no tcp address".to_owned()) };
        let middle = folder.join("socat.sock");
        let mut socat = Socat { entrance: service.clone(), processes: Vec::new() };
        socat.add(&format!("UNIX-LISTEN:{},fork", middle.display()), &format!("TCP:{address}"))?;
        let to = format!("UNIX-CONNECT:{}", middle.display());
        let line = socat.add("TCP-LISTEN:0,bind=127.0.0.1,nodelay,fork", &to)?;
        let address = line.rsplit(' ').next().unwrap_or_default();
        socat.entrance = Place::read(&format!("tcp:{address}"))?;
        Ok(socat)
    }

    /// Starts a `socat`, and returns the line with its address.
    fn add(&mut self, from: &str, to: &str) -> Result<String, String> {
        let mut command = Command::new("socat");
        // It is fastest with 64 KiB at a time; the default is 8 KiB.
        command.args(["-d", "-d", "-b", "65536", from, to]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "socat is not installed".to_owned(),
            _ => format!("socat: {error}"),
        })?;
        let stderr = process.stderr.take();
        self.processes.push(process);
        let mut lines = BufReader::new(stderr.ok_or("socat has no stderr")?).lines();
        let found = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening on"));
        // It keeps logging, and must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        found.ok_or_else(|| format!("socat does not listen on {from}"))
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
