//! `make bench`: the cost of Trunkline, as ratios within one run to the bare machine and to
//! alternatives. It fails on errors, and on more instructions than `counts.toml` allows, never on
//! timings.

mod bare;
mod calls;
mod contender;
mod cores;
mod encryption;
mod fact;
mod fairness;
mod forwards;
mod instructions;
mod loading;
mod machine;
mod memory;
mod multiplexing;
mod peers;
mod plan;
mod processes;
mod programs;
mod quiet_host;
mod report;
mod rounds;
mod routes;
mod scale;
mod shapes;
mod statistics;
mod suite;
mod targets;

use std::process::ExitCode;

use plan::Plan;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let only = |plan: Plan, word: &str| Plan { only: Some(word.to_owned()), ..plan };
    let outcome = match &words[..] {
        [] => suite::run(&Plan::full()),
        ["--only", word] => suite::run(&only(Plan::full(), word)),
        ["--counts"] => instructions::alone(),
        ["--quick"] => suite::run(&Plan::quick()),
        ["--quick", "--only", word] => suite::run(&only(Plan::quick(), word)),
        // Commands that the benchmarks start themselves.
        ["child", what, place] => bare::child::run(what, place),
        ["count", what, times] => instructions::repeat(what, times),
        _ => Err("usage: bench [--counts] [--quick] [--only WORD]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
