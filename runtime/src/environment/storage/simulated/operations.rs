//! The [`Storage`] operations of a simulated disk.

use std::io::{self, ErrorKind};

use super::files::{Change, Inode, SECTOR};
use super::target::Target;
use super::{Call, SimulatedDisk, SimulatedFile, SimulatedLock};
use crate::environment::storage::{Access, LockError, Storage, random_bytes};

impl Storage for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;

    fn random_bytes(&self) -> [u8; 16] {
        let mut disk = self.lock_disk();
        let Some(drawn) = &mut disk.drawn else { return random_bytes() };
        (u128::from(drawn.next()) << 64 | u128::from(drawn.next())).to_be_bytes()
    }

    fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        self.call(Call::Create, Target::Name(name), |disk| {
            if disk.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let inode = disk.inodes.len();
            disk.inodes.push(Inode::default());
            disk.names.insert(name.to_owned(), inode);
            disk.changes.push(Change::Made(name.to_owned(), inode));
            Ok(SimulatedFile { inode, boot: disk.boot })
        })
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<SimulatedFile> {
        self.call(Call::Open, Target::Name(name), |disk| {
            Ok(SimulatedFile { inode: disk.named(name)?, boot: disk.boot })
        })
    }

    fn write_at(&self, file: &SimulatedFile, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.call(Call::Write, Target::File(file, offset), |disk| {
            let bytes: usize = parts.iter().map(|part| part.len()).sum();
            let begin = offset as usize;
            disk.check_capacity(file.inode, begin + bytes)?;
            let inode = &mut disk.inodes[file.inode];
            inode.resize(begin + bytes);
            let mut at = begin;
            for part in parts {
                inode.seen[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            if bytes > 0 {
                inode.dirty[begin / SECTOR..(begin + bytes).div_ceil(SECTOR)].fill(true);
            }
            Ok(())
        })
    }

    fn read_at(&self, file: &SimulatedFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(Call::Read, Target::File(file, offset), |disk| {
            let seen = &disk.inodes[file.inode].seen;
            let begin = (offset as usize).min(seen.len());
            let end = (begin + buffer.len()).min(seen.len());
            buffer[..end - begin].copy_from_slice(&seen[begin..end]);
            Ok(end - begin)
        })
    }

    fn sync(&self, file: &SimulatedFile) -> io::Result<()> {
        self.call(Call::Sync, Target::File(file, 0), |disk| {
            disk.inodes[file.inode].sync();
            Ok(())
        })
    }

    fn allocate(&self, file: &SimulatedFile, bytes: u64) -> io::Result<()> {
        self.call(Call::Allocate, Target::File(file, 0), |disk| {
            disk.check_capacity(file.inode, bytes as usize)?;
            disk.inodes[file.inode].resize(bytes as usize);
            Ok(())
        })
    }

    fn length(&self, file: &SimulatedFile) -> io::Result<u64> {
        self.call(Call::Length, Target::File(file, 0), |disk| Ok(disk.inodes[file.inode].seen.len() as u64))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, Target::Name(to), |disk| {
            let inode = disk.named(from)?;
            disk.names.remove(from);
            disk.names.insert(to.to_owned(), inode);
            disk.changes.push(Change::Renamed(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.call(Call::Unlink, Target::Name(name), |disk| {
            disk.named(name)?;
            disk.names.remove(name);
            disk.changes.push(Change::Removed(name.to_owned()));
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call(Call::SyncDirectory, Target::Directory, |disk| {
            disk.changes.clear();
            disk.durable_names = disk.names.clone();
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(Call::List, Target::Directory, |disk| Ok(disk.names.keys().cloned().collect()))
    }

    fn lock(&self, _name: &str, note: &str) -> Result<SimulatedLock, LockError> {
        let mut disk = self.lock_disk();
        match &disk.holder {
            Some(holder) => Err(LockError::Held { holder: holder.clone() }),
            None => {
                disk.holder = Some(note.to_owned());
                Ok(SimulatedLock { disk: self.clone(), boot: disk.boot })
            }
        }
    }

    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }
}
