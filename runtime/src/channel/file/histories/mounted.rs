//! The channel's storage on the simulated disk: plain or encrypted.

use std::sync::{Arc, Mutex};

use crate::channel::file::encryption::{EncryptionError, IfAbsent, encrypted};
use crate::channel::file::segment::PAGE;
use crate::environment::random::SeededRandom;
use crate::environment::storage::{Encrypted, Key, Keys, SimulatedDisk, Storage};

/// A storage on the simulated disk.
pub(super) trait Mounted: Storage {
    /// The bytes before the content of each file.
    const HEADER: u64;
    /// The most bytes in a directory that do not belong to the log.
    const BESIDE: u64;

    /// Opens the storage after a start.
    fn mount(disk: &SimulatedDisk, random: &mut SeededRandom) -> Result<Self, EncryptionError>;
}

impl Mounted for SimulatedDisk {
    const HEADER: u64 = 0;
    const BESIDE: u64 = 0;

    fn mount(disk: &SimulatedDisk, _chance: &mut SeededRandom) -> Result<SimulatedDisk, EncryptionError> {
        Ok(disk.clone())
    }
}

impl Mounted for Encrypted<SimulatedDisk> {
    const HEADER: u64 = PAGE;
    const BESIDE: u64 = 20 * PAGE;

    /// Changes the master key now and then.
    fn mount(disk: &SimulatedDisk, random: &mut SeededRandom) -> Result<Self, EncryptionError> {
        let numbers = Mutex::new(SeededRandom::new(random.next()));
        let fill = move |bytes: &mut [u8]| {
            bytes.fill_with(|| numbers.lock().unwrap().next() as u8);
            Ok(())
        };
        let [one, other] = [1, 2].map(|byte| Key::new([byte; 32]));
        let (key, former) = if random.one_in(3) { (one, other) } else { (other, one) };
        disk.set_phase("keys");
        encrypted(disk.clone(), &Keys { key, former: vec![former] }, IfAbsent::Create, Arc::new(fill))
    }
}
