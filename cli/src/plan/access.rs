//! `weir plan --access`: what the agent reaches and touches.

use weir_compiler::{AgentPlaces, Analysis, Library, access, render};

use super::{Arguments, PlanFormat};
use crate::program::print;
use crate::state_directory::state_directory;

/// Prints the list in the form that was asked for.
///
/// # Errors
/// When the working directory is gone.
pub(super) fn show(analysis: &Analysis, library: &Library, arguments: &Arguments) -> Result<(), String> {
    let state = state_directory(arguments.state_dir.clone()).map_err(|error| error.to_string())?;
    let working = std::env::current_dir().map_err(|error| error.to_string())?;
    let places = AgentPlaces {
        state: state.map(|state| state.to_string_lossy().into_owned()),
        working: Some(working.to_string_lossy().into_owned()),
    };
    let found = access(analysis, library, &places);
    let program = &analysis.program;
    print(&match arguments.format {
        PlanFormat::Text => render::access_text(program, &found),
        PlanFormat::Json => render::access_json(program, &found),
        PlanFormat::Systemd => render::systemd(program, &found),
        PlanFormat::Networkpolicy => render::network_policy(program, &found),
        PlanFormat::Nftables => render::nftables(program, &found),
    });
    Ok(())
}
