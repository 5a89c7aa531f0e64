//! The state directory of an agent: the place of channels and positions that name none, or only a relative one.

use std::path::Path;

use weir_plan::{Component, Plan, Value};

/// The settings that name a place for state: the kinds of components, and the setting.
const POSITIONS: (&[&str], &str) = (&["files", "hdfs"], "positions");
const CHANNEL: (&[&str], &str) = (&["file"], "path");

/// Gives the state of a plan its places in a directory: a channel without a `path` is in `PROGRAM/CHANNEL` there, and
/// relative paths of channels and positions begin there.
pub fn place_state(plan: &mut Plan, directory: &Path) {
    let program = plan.program.clone();
    place_each(plan, directory, |channel| Some(format!("{program}/{channel}")));
}

/// Makes the relative paths of a plan's state absolute, for an agent without a state directory that is started in this
/// directory.
pub fn show_state(plan: &mut Plan, working: &Path) {
    place_each(plan, working, |_| None);
}

/// Makes the relative paths of a plan's state begin in a directory. `own` is the path there of a channel that names none.
fn place_each(plan: &mut Plan, directory: &Path, own: impl Fn(&str) -> Option<String>) {
    for source in &mut plan.sources {
        place(source, POSITIONS, directory, None);
    }
    for channel in &mut plan.channels {
        let own = own(&channel.name);
        place(channel, CHANNEL, directory, own);
    }
}

fn place(component: &mut Component, setting: (&[&str], &str), directory: &Path, own: Option<String>) {
    let (kinds, name) = setting;
    if !kinds.contains(&component.kind.as_str()) {
        return;
    }
    let Some(value) = component.settings.values.get_mut(name) else { return };
    let given = match value {
        Value::Text(path) => Some(path.clone()),
        Value::Null => own,
        _ => None,
    };
    if let Some(given) = given {
        *value = Value::Text(directory.join(given).to_string_lossy().into_owned());
    }
}

#[cfg(test)]
mod tests {
    use weir_compiler::{Library, Options, analyse, lower};

    use super::*;
    use crate::library_sources;

    #[test]
    fn state_is_in_the_directory_unless_its_path_is_absolute() {
        let program = "source a = files { paths: [\"in/*\"], positions: \"a.positions\" }
source b = files { paths: [\"in/*\"], positions: \"/else/b.positions\" }
source c = files { paths: [\"in/*\"] }
source e = hdfs { url: \"hdfs://a:1\", paths: [\"/in/*\"], positions: \"e.positions\" }
source d = generate {}
channel one = file {}
channel two = file { path: \"two\" }
channel three = file { path: \"/else/three\" }
channel four = memory {}
sink out = files { path: \"out\" }
flow main { a -> one -> out }
flow second { b -> two -> out }
flow third { c -> three -> out }
flow fourth { d -> four -> out }
flow fifth { e -> four }
";
        let library = Library::parse(library_sources().iter().copied()).unwrap();
        let analysis = analyse(&("nginx.flow", program), "nginx.flow", &library, &Options::default());
        let mut plan = lower(&analysis).unwrap_or_else(|| panic!("{:?}", analysis.diagnostics));
        place_state(&mut plan, Path::new("/state"));
        let text = |component: &Component, name: &str| match component.settings.values.get(name) {
            Some(Value::Text(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        let positions: Vec<String> =
            plan.sources[..4].iter().map(|source| text(source, "positions")).collect();
        let expected = ["/state/a.positions", "/else/b.positions", "Some(Null)", "/state/e.positions"];
        assert_eq!(positions, expected);
        let paths: Vec<String> = plan.channels[..3].iter().map(|channel| text(channel, "path")).collect();
        assert_eq!(paths, ["/state/nginx/one", "/state/two", "/else/three"]);
        let mut shown = lower(&analysis).unwrap();
        show_state(&mut shown, Path::new("/here"));
        let paths: Vec<String> = shown.channels[..3].iter().map(|channel| text(channel, "path")).collect();
        assert_eq!(paths, ["Some(Null)", "/here/two", "/else/three"]);
        assert_eq!(
            text(&plan.sinks[0], "path"),
            text(&lower(&analysis).unwrap().sinks[0], "path"),
            "no state"
        );
    }
}
