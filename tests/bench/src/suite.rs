//! The whole run, in order: what is quiet first, what makes the machine busy last.

use std::time::Instant;

use crate::cores::Cores;
use crate::fact::Fact;
use crate::forwards::Forwards;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::Report;
use crate::rounds::{self, Outcome};
use crate::shapes::Stage;
use crate::{
    calls, fairness, instructions, loading, memory, multiplexing, report, scale, sealing, targets,
};

/// Measures all of it, prints the tables and writes the page.
///
/// # Errors
///
/// What could not be measured, in one line. Timings are never an error.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let began = Instant::now();
    let programs = Programs::beside_this_program()?;
    eprintln!("measuring:");
    let mut outcomes = Vec::new();
    for group in calls::groups(&programs)? {
        outcomes.push(rounds::run(group, plan)?);
    }
    outcomes.push(rounds::run(sealing::group(), plan)?);
    for size in multiplexing::SIZES {
        outcomes.push(rounds::run(multiplexing::group(size), plan)?);
    }
    outcomes.push(rounds::run(loading::group(&programs), plan)?);
    on_stage(&programs, plan, &mut outcomes)?;
    let forwards = Forwards::start(&programs)?;
    let cores = Cores::find()?;
    forwards.lay_out(&cores.apart())?;
    for group in forwards.groups() {
        outcomes.push(rounds::run(group, plan)?);
    }
    cores.anywhere().near(std::process::id())?;
    forwards.stop()?;
    let facts = facts(&programs, plan)?;
    let targets = targets::all(&outcomes, &facts);
    let (plan, machine) = (*plan, Machine::look());
    let report = Report { plan, machine, outcomes, facts, targets, took: began.elapsed() };
    print!("{}", report::table::text(&report));
    report::write(&report, &programs.report_folder()?)
}

/// What needs the servers.
fn on_stage(programs: &Programs, plan: &Plan, outcomes: &mut Vec<Outcome>) -> Result<(), String> {
    let stage = Stage::set(programs)?;
    let cores = Cores::find()?;
    for (layout, number) in [(cores.together(), 1), (cores.apart(), 2)] {
        stage.lay_out(&layout)?;
        outcomes.push(rounds::run(stage.round_trips(number), plan)?);
    }
    for &size in plan.sizes {
        outcomes.push(rounds::run(stage.throughput(size), plan)?);
    }
    for &channels in plan.channels {
        // A share of a thousandth is many quanta, or it would be as coarse as one.
        let turn = plan.turn * if channels >= 1000 { 5 } else { 1 };
        outcomes.push(rounds::run(stage.channels(channels), &Plan { turn, ..*plan })?);
    }
    outcomes.push(rounds::run(fairness::group(&stage.servers), plan)?);
    cores.anywhere().near(std::process::id())?;
    stage.servers.stop()
}

/// Single numbers.
fn facts(programs: &Programs, plan: &Plan) -> Result<Vec<Fact>, String> {
    eprintln!("  Idle channels");
    let mut facts = memory::facts(programs, plan)?;
    eprintln!("  Plugins and links");
    facts.extend(scale::facts(programs, plan)?);
    eprintln!("  Instructions");
    facts.extend(instructions::facts(programs)?);
    Ok(facts)
}
