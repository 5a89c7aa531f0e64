//! `weir test --mutants`: the small changes of a program that no test notices.

use weir_testing::{Mutations, RunSettings, in_threads};

use super::{Arguments, Named, TestFormat};
use crate::program::{print, print_error};

/// Tries each change of each program, writes those that no test notices, and returns whether there are none.
pub(super) fn write(programs: &[Named<'_>], arguments: &Arguments) -> bool {
    let with_tests = programs.iter().filter(|named| !named.program.tests().is_empty());
    let mutations: Vec<_> = with_tests.map(|named| (named, Mutations::of(&named.program))).collect();
    let mut jobs = Vec::new();
    for (named, mutations) in &mutations {
        jobs.extend(mutations.mutants().iter().map(|mutant| (*named, mutations, mutant)));
    }
    let settings = RunSettings { seed: arguments.seed, ..RunSettings::default() };
    let noticed = in_threads(
        &jobs,
        arguments.threads(),
        |(_, mutations, mutant)| mutations.is_noticed(mutant, settings),
        |_| true,
    );
    let mut text = String::new();
    let unnoticed = jobs.iter().zip(noticed).filter(|(_, noticed)| !noticed);
    let mut count = 0;
    for ((named, _, mutant), _) in unnoticed {
        count += 1;
        let files = &named.program.analysis.files;
        let (begin, _) = files.positions(mutant.span);
        let name = files.name(mutant.span);
        text.push_str(&format!(
            "{name}:{}:{}: no test notices that {}\n",
            begin.line, begin.column, mutant.change
        ));
    }
    let all = jobs.len();
    let changes = if all == 1 { "1 change".to_owned() } else { format!("{all} changes") };
    match count {
        0 => text.push_str(&format!("{changes} of the steps: each is noticed by a test\n")),
        _ => text.push_str(&format!("{changes} of the steps: {count} noticed by no test\n")),
    }
    // The formats for machines are documents of their own.
    if arguments.format == TestFormat::Human {
        print(&text)
    } else {
        print_error(&text)
    }
    count == 0
}
