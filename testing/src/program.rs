//! A program that is ready to be tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_compiler::analysis::program_tests::{ProgramTest, StepTest, TestContent};
use weir_compiler::{Analysis, lower_alone, lower_with_unread};
use weir_plan::{Plan, Value};
use weir_runtime::Registry;

use crate::coverage::Coverage;
use crate::promises::Ends;
use crate::stage::{Classes, with_lineage};

/// Analyses the program again, with these values of params.
type Analyse<'p> = Box<dyn Fn(&BTreeMap<String, Value>) -> Analysis + Send + Sync + 'p>;

/// A program with tests.
pub struct TestProgram<'p> {
    /// The analysis, without errors.
    pub analysis: Arc<Analysis>,
    /// The folder of the program's file, to which the names of files in tests are relative.
    folder: PathBuf,
    analyse: Analyse<'p>,
    library: fn() -> Registry,
    staged: Option<Staged>,
}

/// What the runs of tests of one program share.
#[derive(Clone)]
pub(crate) struct Staged {
    pub(crate) analysis: Arc<Analysis>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) classes: Classes,
    pub(crate) ends: Ends,
    pub(crate) library: fn() -> Registry,
    pub(crate) folder: PathBuf,
}

impl<'p> TestProgram<'p> {
    /// Prepares a program. `analyse` analyses it again with other values of params, and `library` makes the registry of the
    /// library.
    pub fn new(
        analysis: Analysis,
        folder: PathBuf,
        library: fn() -> Registry,
        analyse: impl Fn(&BTreeMap<String, Value>) -> Analysis + Send + Sync + 'p,
    ) -> TestProgram<'p> {
        let analysis = Arc::new(analysis);
        let staged = staged(&analysis, &folder, library);
        TestProgram { analysis, folder, analyse: Box::new(analyse), library, staged }
    }

    /// What the runs of the program share; none if it can't be lowered.
    pub(crate) fn staged_plan(&self) -> Option<Staged> {
        self.staged.clone()
    }

    /// The names of the sources that flows use.
    pub fn sources(&self) -> Vec<String> {
        let sources = self.staged.iter().flat_map(|staged| &staged.plan.sources);
        sources.map(|source| source.name.clone()).collect()
    }

    /// Returns the parts of the program that tests can reach.
    pub fn coverage(&self) -> Coverage {
        self.staged
            .as_ref()
            .map_or_else(Coverage::default, |staged| Coverage::of(&self.analysis, &staged.plan))
    }

    /// The tests, in the order of the text.
    pub fn tests(&self) -> &[ProgramTest] {
        &self.analysis.tests
    }

    /// Returns the test of a title as the program has it with the params of the test, with what its runs share.
    ///
    /// # Errors
    /// When the program has errors with these params, in words.
    pub(crate) fn staged(&self, test: &ProgramTest) -> Result<(ProgramTest, Staged), String> {
        let broken = || "the program has errors".to_owned();
        let (test, analysis) = match test.params.is_empty() {
            true => (test.clone(), self.analysis.clone()),
            false => {
                let analysis = (self.analyse)(&test.params);
                if let Some(error) = analysis.diagnostics.iter().find(|_| analysis.has_errors()) {
                    let params: Vec<_> =
                        test.params.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                    let message = error.describe().message;
                    return Err(format!("with {}, the program has an error: {message}", params.join(", ")));
                }
                let analysis = Arc::new(analysis);
                let same = analysis.tests.iter().find(|other| other.title == test.title).cloned();
                (same.ok_or_else(broken)?, analysis)
            }
        };
        let staged = match &test.content {
            TestContent::Program(_) if test.params.is_empty() => self.staged.clone(),
            TestContent::Program(_) => staged(&analysis, &self.folder, self.library),
            TestContent::Alone(steps) => self.alone(&analysis, steps),
        };
        Ok((test, staged.ok_or_else(broken)?))
    }

    /// Returns the stage of steps that are tested alone.
    fn alone(&self, analysis: &Arc<Analysis>, steps: &StepTest) -> Option<Staged> {
        let plan = with_lineage(lower_alone(analysis, steps)?);
        Some(Staged {
            analysis: analysis.clone(),
            ends: Ends::of(&plan),
            plan: Arc::new(plan),
            classes: Classes::default(),
            library: self.library,
            folder: self.folder.clone(),
        })
    }
}

fn staged(analysis: &Arc<Analysis>, folder: &Path, library: fn() -> Registry) -> Option<Staged> {
    let plan = with_lineage(lower_with_unread(analysis)?);
    Some(Staged {
        ends: Ends::of(&plan),
        plan: Arc::new(plan),
        classes: Classes::of(analysis),
        analysis: analysis.clone(),
        library,
        folder: folder.to_path_buf(),
    })
}
