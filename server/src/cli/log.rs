//! `trunkline log`: prints the latest records of a running server's log.

use super::status::socket;
use super::{Failed, Server, client, print};
use crate::config::LogFormat;

pub(super) fn log(server: &Server, form: LogFormat, from: u64) -> Result<(), Failed> {
    let socket = socket(server)?;
    let form = match form {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let answer = client::request(&socket, &format!("log {form} {from}"));
    let answer = answer.map_err(|why| format!("log: {why}"))?;
    print(&String::from_utf8_lossy(&answer))
}
