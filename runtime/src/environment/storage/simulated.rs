//! A simulated disk: in memory, determined by a seed, with all failures that POSIX allows.
//!
//! Content that was written and not synced may or may not survive a crash, sector by sector, and a
//! sector may be torn at any byte. A sync that fails loses a part of the content, still shows all of
//! it, and succeeds when it is repeated. After a crash, any mixture of the changes to names since the
//! last sync of the directory takes effect. The disk has a capacity, and tests can flip its bits.

mod files;
mod machine;
mod operations;
mod target;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::environment::random::SeededRandom;
use files::{Change, Inode, SECTOR};
use target::Target;

pub use machine::{Machine, Moment, StepCounts, StepOutcome};
pub use target::SimulatedLock;

/// The operations of [`Storage`](super::Storage), for planned faults and tables of covered calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Call {
    Create,
    Open,
    Write,
    Read,
    Sync,
    Allocate,
    Length,
    Rename,
    Unlink,
    SyncDirectory,
    List,
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The machine stops somewhere within the call; every later call fails until
    /// [`SimulatedDisk::reboot`].
    Crash,
    /// The call fails with an I/O error, and may have taken effect in part.
    Fail,
    /// The call fails because the disk is full; applies to calls that need space.
    Full,
    /// The call fails because the process has no descriptor left; applies to calls that open a file.
    Descriptors,
}

/// A simulated disk with one directory. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    disk: Arc<Mutex<Disk>>,
}

/// A file of a simulated disk.
#[derive(Debug)]
pub struct SimulatedFile {
    inode: usize,
    boot: u64,
}

struct Disk {
    random: SeededRandom,
    /// Gives the random bytes that channels ask for; none for those of the system.
    drawn: Option<SeededRandom>,
    /// The names and inodes that the running system sees.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes to names since the directory was synced.
    changes: Vec<Change>,
    inodes: Vec<Inode>,
    capacity: u64,
    boot: u64,
    crashed: bool,
    holder: Option<String>,
    /// Each one takes effect after the one before it.
    planned: VecDeque<Planned>,
    fired: Vec<Fired>,
    phase: &'static str,
    calls: BTreeMap<Site, u64>,
    /// The machine that the disk is a part of, and the part's name.
    machine: Option<(Machine, &'static str)>,
}

/// A place in the code under test that calls the disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// What the code was doing, as [`SimulatedDisk::set_phase`] was told.
    pub phase: &'static str,
    /// The call.
    pub call: Call,
    /// The file's name without the part that differs between files, such as `.segment`; empty for calls on the
    /// directory.
    pub object: String,
    /// Whether the call's offset is 0.
    pub at_beginning: bool,
}

/// A fault that has occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// The call that failed.
    pub site: Site,
    /// How it failed.
    pub fault: Fault,
}

struct Planned {
    call: Option<Call>,
    /// Applies to files of this kind; `None` for all files.
    object: Option<&'static str>,
    skip: u64,
    fault: Fault,
}

impl SimulatedDisk {
    /// Makes an empty disk of `capacity` bytes. The seed determines its random choices.
    pub fn new(seed: u64, capacity: u64) -> SimulatedDisk {
        let disk = Disk {
            random: SeededRandom::new(seed),
            drawn: None,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            inodes: Vec::new(),
            capacity,
            boot: 0,
            crashed: false,
            holder: None,
            planned: VecDeque::new(),
            fired: Vec::new(),
            phase: "",
            calls: BTreeMap::new(),
            machine: None,
        };
        SimulatedDisk { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Makes the random bytes that a channel asks for follow from a seed. Two channels must not have the same seed.
    pub fn draw_by(&self, seed: u64) {
        self.lock_disk().drawn = Some(SeededRandom::new(seed));
    }

    /// Makes the disk a part of a machine, under this name: it stops and starts with the machine.
    pub fn attach(&self, machine: &Machine, name: &'static str) {
        self.lock_disk().machine = Some((machine.clone(), name));
    }

    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a fault for the next call of a kind (`None`: any kind) after `skip` such calls, counted from now or from
    /// the fault that was planned before.
    pub fn plan(&self, call: Option<Call>, skip: u64, fault: Fault) {
        self.lock_disk().planned.push_back(Planned { call, object: None, skip, fault });
    }

    /// Plans a fault for the next such call to a file of one kind, as [`Site::object`] names it.
    pub fn plan_for(&self, call: Call, object: &'static str, fault: Fault) {
        self.lock_disk().planned.push_back(Planned {
            call: Some(call),
            object: Some(object),
            skip: 0,
            fault,
        });
    }

    /// Cancels all planned faults. Returns the faults that have occurred since the last call of this.
    pub fn take_fired(&self) -> Vec<Fired> {
        let mut disk = self.lock_disk();
        disk.planned.clear();
        std::mem::take(&mut disk.fired)
    }

    /// Returns whether a fault has occurred since [`SimulatedDisk::take_fired`].
    pub fn has_fired(&self) -> bool {
        !self.lock_disk().fired.is_empty()
    }

    /// Returns whether the machine has crashed and was not started again.
    pub fn has_crashed(&self) -> bool {
        self.lock_disk().crashed
    }

    /// Sets what the code under test is about to do, for tables of covered calls.
    pub fn set_phase(&self, phase: &'static str) {
        self.lock_disk().phase = phase;
    }

    /// Returns the number of calls so far at each site.
    pub fn calls(&self) -> BTreeMap<Site, u64> {
        self.lock_disk().calls.clone()
    }

    /// Restarts the machine: only content that has survived is still there.
    pub fn reboot(&self) {
        let mut disk = self.lock_disk();
        disk.lose_unsynced();
        disk.boot += 1;
        disk.crashed = false;
        disk.holder = None;
        disk.planned.clear();
    }

    /// Kills the process and not the machine: all written content is still there.
    pub fn kill(&self) {
        let mut disk = self.lock_disk();
        disk.boot += 1;
        disk.crashed = false;
        disk.holder = None;
        disk.planned.clear();
    }

    /// Kills the process unless the machine has crashed.
    pub fn kill_unless_crashed(&self) {
        if !self.has_crashed() {
            self.kill();
        }
    }

    /// Returns whether a capacity was set, so that the disk can be full.
    pub fn has_capacity(&self) -> bool {
        self.lock_disk().capacity < u64::MAX
    }

    /// Sets the capacity; `u64::MAX` is no limit.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_disk().capacity = bytes;
    }

    /// Returns the number of bytes in all files.
    pub fn used(&self) -> u64 {
        self.lock_disk().used()
    }

    /// Flips one bit of a file durably, if the file is long enough.
    pub fn flip(&self, name: &str, byte: u64, bit: u8) {
        let mut disk = self.lock_disk();
        let Some(&inode) = disk.names.get(name) else { return };
        let Inode { seen, durable, .. } = &mut disk.inodes[inode];
        for content in [seen, durable] {
            if let Some(value) = content.get_mut(byte as usize) {
                *value ^= 1 << (bit % 8);
            }
        }
    }

    /// Truncates a file durably.
    pub fn cut(&self, name: &str, length: u64) {
        let mut disk = self.lock_disk();
        let Some(&inode) = disk.names.get(name) else { return };
        disk.inodes[inode].cut(length as usize);
    }

    /// Fills a part of a file with zeros durably.
    pub fn wipe(&self, name: &str, offset: u64, bytes: u64) {
        let mut disk = self.lock_disk();
        let Some(&inode) = disk.names.get(name) else { return };
        let Inode { seen, durable, .. } = &mut disk.inodes[inode];
        for content in [seen, durable] {
            let end = (offset + bytes).min(content.len() as u64);
            content[offset.min(end) as usize..end as usize].fill(0);
        }
    }

    /// Copies all files, as a backup of a running machine does.
    pub fn backup(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.lock_disk();
        let content = |inode: &usize| disk.inodes[*inode].seen.clone();
        disk.names.iter().map(|(name, inode)| (name.clone(), content(inode))).collect()
    }

    /// Replaces all files by those of a backup, durably.
    pub fn restore(&self, backup: &BTreeMap<String, Vec<u8>>) {
        let mut disk = self.lock_disk();
        disk.names.clear();
        for (name, content) in backup {
            let inode = disk.inodes.len();
            disk.inodes.push(Inode::holding(content.clone()));
            disk.names.insert(name.clone(), inode);
        }
        disk.changes.clear();
        disk.durable_names = disk.names.clone();
    }

    /// Returns the content of a file as the running system sees it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.lock_disk();
        disk.names.get(name).map(|inode| disk.inodes[*inode].seen.clone())
    }

    /// Returns a random number below `bound` from the disk's generator.
    pub fn random_below(&self, bound: u64) -> u64 {
        self.lock_disk().random.below(bound)
    }

    /// Makes one call: `act` carries it out, unless a fault or a stop of the machine is due.
    fn call<T>(
        &self,
        call: Call,
        target: Target<'_>,
        act: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = self.lock_disk();
        let file = target.file();
        if disk.crashed || file.is_some_and(|file| file.boot != disk.boot) {
            return Err(io::Error::other("the machine has crashed"));
        }
        let site = disk.site(call, &target);
        *disk.calls.entry(site.clone()).or_default() += 1;
        let due = match disk.step(&site) {
            StepOutcome::Down => return Err(io::Error::other("the machine is down")),
            StepOutcome::Proceeds => disk.due(site),
            StepOutcome::Stops(moment) => {
                let happens = match moment {
                    Moment::Before => false,
                    Moment::Within => disk.random.below(2) == 0,
                    Moment::After => true,
                };
                if happens {
                    act(&mut disk).ok();
                }
                return Err(io::Error::other("the machine has stopped"));
            }
        };
        match due {
            None => act(&mut disk),
            Some(Fault::Full) => Err(ErrorKind::StorageFull.into()),
            Some(Fault::Descriptors) => Err(rustix::io::Errno::MFILE.into()),
            Some(fault) => {
                // A failed call has either taken effect or not. A failed sync of a file loses a part of the content.
                let lies = call == Call::Sync && fault == Fault::Fail;
                match file {
                    Some(file) if lies => disk.fail_a_sync(file.inode),
                    _ if disk.random.below(2) == 0 => {
                        act(&mut disk).ok();
                    }
                    _ => {}
                }
                if fault == Fault::Crash {
                    disk.crashed = true;
                    return Err(io::Error::other("the machine has crashed"));
                }
                Err(rustix::io::Errno::IO.into())
            }
        }
    }
}

impl Disk {
    fn site(&self, call: Call, target: &Target<'_>) -> Site {
        let (name, offset) = match target {
            Target::Directory => ("", 0),
            Target::Name(name) => (*name, 0),
            Target::File(file, offset) => {
                let name = self.names.iter().find(|(_, inode)| **inode == file.inode);
                (name.map_or("unlinked", |(name, _)| name.as_str()), *offset)
            }
        };
        let object =
            name.trim_start_matches(|c: char| c.is_ascii_hexdigit() && name.contains('.')).to_owned();
        Site { phase: self.phase, call, object, at_beginning: offset == 0 }
    }

    /// Reports the call to the machine, if the disk is a part of one, and returns how the call goes.
    fn step(&self, site: &Site) -> StepOutcome {
        let Some((machine, name)) = &self.machine else { return StepOutcome::Proceeds };
        let changes = !matches!(site.call, Call::Open | Call::Read | Call::Length | Call::List);
        machine.step(name, &format!("{:?}", site.call), &site.object, changes)
    }

    /// Returns the fault that is planned for this call.
    fn due(&mut self, site: Site) -> Option<Fault> {
        let call = site.call;
        let planned = self.planned.front_mut()?;
        let needs_room = matches!(call, Call::Create | Call::Write | Call::Allocate);
        let fits = planned.call.is_none_or(|wanted| wanted == call)
            && planned.object.is_none_or(|wanted| wanted == site.object);
        let opens = matches!(call, Call::Create | Call::Open);
        let applies = match planned.fault {
            Fault::Full => needs_room,
            Fault::Descriptors => opens,
            Fault::Crash | Fault::Fail => true,
        };
        if !fits || !applies {
            return None;
        }
        if planned.skip > 0 {
            planned.skip -= 1;
            return None;
        }
        let fault = planned.fault;
        self.planned.pop_front();
        self.fired.push(Fired { site, fault });
        Some(fault)
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    fn check_capacity(&self, inode: usize, length: usize) -> io::Result<()> {
        let more = length.saturating_sub(self.inodes[inode].seen.len()) as u64;
        match more > 0 && self.used().saturating_add(more) > self.capacity {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn named(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Loses a part of the content that was written to the file since the last sync. The content is still seen, and
    /// counts as synced.
    fn fail_a_sync(&mut self, inode: usize) {
        for sector in 0..self.inodes[inode].dirty.len() {
            if self.inodes[inode].dirty[sector] {
                if self.random.below(2) == 0 {
                    self.inodes[inode].keep(sector);
                }
                self.inodes[inode].dirty[sector] = false;
            }
        }
    }

    fn lose_unsynced(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        for change in changes {
            if self.random.below(2) == 0 {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for number in 0..self.inodes.len() {
            for sector in 0..self.inodes[number].dirty.len() {
                if !self.inodes[number].dirty[sector] {
                    continue;
                }
                match self.random.below(5) {
                    0 | 1 => self.inodes[number].keep(sector),
                    2 => {
                        let tear = self.random.below(SECTOR as u64) as usize;
                        self.inodes[number].tear(sector, tear);
                    }
                    _ => {}
                }
            }
            // A file that has grown since the last sync may keep its new length without the new content.
            let longer = self.inodes[number].seen.len() > self.inodes[number].durable.len();
            let keep_length = longer && self.random.below(2) == 0;
            self.inodes[number].restart(keep_length);
        }
    }
}

#[cfg(test)]
mod tests;
