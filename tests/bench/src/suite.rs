//! The whole run in order: first the measurements that need a quiet machine, last those that load
//! it.

use std::time::Instant;

use crate::cores::Cores;
use crate::fact::Fact;
use crate::forwards::Forwards;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::Report;
use crate::rounds::Rounds;
use crate::shapes::Stage;
use crate::{
    calls, encryption, fairness, instructions, loading, memory, multiplexing, report, scale,
    targets,
};

/// Measures everything, prints the tables and writes the page.
///
/// # Errors
///
/// The measurement that failed, in one line. Timings are never an error.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let began = Instant::now();
    let programs = Programs::beside_this_program()?;
    eprintln!("measuring:");
    let mut rounds = Rounds::new(plan.clone())?;
    for group in calls::groups(&programs)? {
        rounds.run(group)?;
    }
    rounds.run(encryption::group())?;
    for size in multiplexing::SIZES {
        rounds.run(multiplexing::group(size))?;
    }
    rounds.run(loading::group(&programs))?;
    on_stage(&programs, plan, &mut rounds)?;
    let forwards = Forwards::start(&programs)?;
    let cores = Cores::find()?;
    forwards.lay_out(&cores.apart())?;
    for group in forwards.groups() {
        rounds.run(group)?;
    }
    cores.anywhere().near(std::process::id())?;
    forwards.stop()?;
    let facts = match plan.only {
        Some(_) => Vec::new(),
        None => facts(&programs, plan, &rounds)?,
    };
    let outcomes = rounds.outcomes;
    if outcomes.is_empty() {
        return Err("nothing of that name is measured".to_owned());
    }
    let targets = targets::all(&outcomes, &facts);
    let (plan, machine) = (plan.clone(), Machine::look());
    let report = Report { plan, machine, outcomes, facts, targets, took: began.elapsed() };
    print!("{}", report::table::text(&report));
    if report.plan.only.is_some() {
        // The page is only written for a whole run.
        return Ok(());
    }
    report::write(&report, &programs.report_folder()?)?;
    // Last, so that an error here does not hide the other results.
    instructions::judge(&report.facts)
}

/// The measurements that need servers.
fn on_stage(programs: &Programs, plan: &Plan, rounds: &mut Rounds) -> Result<(), String> {
    let stage = Stage::set(programs)?;
    let cores = Cores::find()?;
    for (layout, number) in [(cores.together(), 1), (cores.apart(), 2)] {
        stage.lay_out(&layout)?;
        rounds.run(stage.round_trips(number))?;
    }
    for &size in plan.sizes {
        rounds.run(stage.throughput(size))?;
    }
    for &channels in plan.channels {
        // Longer turns, so that a thousandth of the bytes is many quanta; otherwise the shares
        // would be coarse.
        let turn = plan.turn * if channels >= 1000 { 5 } else { 1 };
        rounds.run_for(turn, stage.channels(channels))?;
    }
    rounds.run(fairness::group(&stage.servers))?;
    cores.anywhere().near(std::process::id())?;
    stage.servers.stop()
}

/// The single numbers.
fn facts(programs: &Programs, plan: &Plan, rounds: &Rounds) -> Result<Vec<Fact>, String> {
    eprintln!("  Idle channels");
    let mut facts = memory::facts(programs, plan)?;
    rounds.check()?;
    eprintln!("  Plugins and links");
    facts.extend(scale::facts(programs, plan)?);
    rounds.check()?;
    eprintln!("  Instructions");
    facts.extend(instructions::facts(programs)?);
    Ok(facts)
}
