//! What the clients have got, and what of it must still be there.

use std::collections::BTreeSet;

/// Images by their place in the world.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// All of it is in place, with its rows: an outage or a killed process does not take it away.
    kept: BTreeSet<usize>,
    /// Clients have all of it; the last steps of its fills may still be under way.
    whole: BTreeSet<usize>,
    /// A manifest's file was damaged while this process has it in memory and does not look.
    doubtful: BTreeSet<usize>,
    /// Counts what destroys: a pull that saw such a thing proves nothing about what is there now.
    destructions: u64,
}

/// Of the pulls in trouble, and of the trouble.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) whole: usize,
    pub(super) broken: usize,
    pub(super) kills: usize,
    pub(super) damages: usize,
    pub(super) full_disks: usize,
    /// Images that were pulled in outages.
    pub(super) outlived: usize,
}

/// The time at which a pull began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning(u64);

impl Tally {
    pub(super) fn begin(&self) -> Beginning {
        Beginning(self.destructions)
    }

    /// A pull of all of it; `from_here`: nothing of it was asked from the remote.
    pub(super) fn pulled(&mut self, image: usize, began: Beginning, from_here: bool) {
        if began != self.begin() || self.doubtful.contains(&image) {
            return;
        }
        if from_here {
            self.kept.insert(image);
        } else {
            self.whole.insert(image);
        }
    }

    /// No fill runs any more.
    pub(super) fn settled(&mut self) {
        self.kept.append(&mut self.whole);
    }

    /// The process has ended, and forgotten what it had in memory.
    pub(super) fn killed(&mut self) {
        self.destructions += 1;
        self.whole.clear();
        self.doubtful.clear();
    }

    /// Something of these images is damaged.
    pub(super) fn damaged(&mut self, images: &BTreeSet<usize>, is_manifest: bool) {
        self.destructions += 1;
        self.counts.damages += 1;
        self.kept.retain(|image| !images.contains(image));
        self.whole.retain(|image| !images.contains(image));
        if is_manifest {
            self.doubtful.extend(images);
        }
    }

    /// What must be there.
    pub(super) fn kept(&self) -> Vec<usize> {
        self.kept.iter().copied().collect()
    }
}
