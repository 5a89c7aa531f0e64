//! What happens to a complete file once all its events are delivered.

use std::io;
use std::path::Path;

use super::After;
use super::identity::State;
use super::room::Room;

impl After {
    /// Keeps, renames or deletes the file, if it is still the one at the path. It blocks.
    pub(super) fn put_away(&self, room: &dyn Room, path: &Path, state: State) -> io::Result<()> {
        if *self == After::Keep {
            return Ok(());
        }
        if room.state(path)? != state {
            return Err(io::Error::other("it has changed"));
        }
        match self {
            After::Keep => Ok(()),
            After::Rename { suffix } => {
                let mut name = path.to_path_buf().into_os_string();
                name.push(suffix);
                room.rename_no_replace(path, Path::new(&name))
            }
            After::Delete => room.remove(path),
        }
    }
}
