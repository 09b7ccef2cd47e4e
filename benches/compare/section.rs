//! The parts of a run, and what they gave.

use anyhow::Result;
use clap::ValueEnum;

use crate::cold::{self, Cold};
use crate::crowd::{self, Crowd};
use crate::deliveries::{self, Deliveries};
use crate::hits::{self, Hits};
use crate::idle;
use crate::orphans::{self, Orphans};
use crate::pushes::{self, Pushes};
use crate::replicas;
use crate::replication::{self, Replication};
use crate::rows::{self, Rows};
use crate::samples::Samples;
use crate::slow_readers::{self, SlowReaders};
use crate::tags::{self, Tags};
use crate::warm_tag;
use crate::{Bench, progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    Idle,
    Cold,
    Crowd,
    Replicas,
    Hits,
    SlowReaders,
    WarmTag,
    Rows,
    Push,
    Tags,
    Orphans,
    Replication,
    Deliveries,
}

/// What was measured. Of a section that did not run there are no samples.
pub(crate) struct Figures {
    pub(crate) sections: Vec<Section>,
    /// Those that could not be measured to the end.
    pub(crate) failed: Vec<Section>,
    pub(crate) idle: Samples,
    pub(crate) cold: Vec<Cold>,
    pub(crate) crowds: [Crowd; 3],
    pub(crate) hits: Vec<Hits>,
    pub(crate) slow_readers: SlowReaders,
    /// Requests to the remote.
    pub(crate) warm_tag: Samples,
    pub(crate) rows: Rows,
    pub(crate) pushes: [Pushes; 2],
    pub(crate) tags: Tags,
    pub(crate) orphans: Orphans,
    pub(crate) replication: Replication,
    pub(crate) deliveries: Deliveries,
}

impl Section {
    pub(crate) const ALL: [Self; 13] = [
        Self::Idle,
        Self::Cold,
        Self::Crowd,
        Self::Replicas,
        Self::Hits,
        Self::SlowReaders,
        Self::WarmTag,
        Self::Rows,
        Self::Push,
        Self::Tags,
        Self::Orphans,
        Self::Replication,
        Self::Deliveries,
    ];
}

impl Figures {
    /// Runs these sections, in the order of [`Section::ALL`]. One that fails is told and noted: the figures of the others
    /// took minutes.
    pub(crate) fn measure(bench: &mut Bench, sections: Vec<Section>) -> Self {
        let mut figures = Self {
            idle: Samples::default(),
            cold: cold::to_measure(&bench.plan),
            crowds: crowd::to_measure(),
            hits: Vec::new(),
            slow_readers: SlowReaders::default(),
            warm_tag: Samples::default(),
            rows: Rows::default(),
            pushes: pushes::to_measure(),
            tags: Tags::default(),
            orphans: Orphans::default(),
            replication: Replication::default(),
            deliveries: Deliveries::default(),
            sections,
            failed: Vec::new(),
        };
        for section in Section::ALL {
            if figures.has(section)
                && let Err(error) = figures.run(bench, section)
            {
                progress(&format!("{section:?} failed: {error:#}"));
                figures.failed.push(section);
            }
        }
        figures
    }

    pub(crate) fn has(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    fn crowds(&mut self, has_replicas: bool) -> impl Iterator<Item = &mut Crowd> {
        let crowds = self.crowds.iter_mut();
        crowds.filter(move |crowd| crowd.setting.has_replicas == has_replicas)
    }

    fn run(&mut self, bench: &mut Bench, section: Section) -> Result<()> {
        match section {
            Section::Idle => self.idle = idle::measure(bench)?,
            Section::Cold => {
                for cold in &mut self.cold {
                    cold::measure(bench, cold)?;
                }
            }
            Section::Crowd => {
                for crowd in self.crowds(false) {
                    crowd::measure(bench, crowd)?;
                }
            }
            Section::Replicas => {
                for crowd in self.crowds(true) {
                    replicas::measure(bench, crowd)?;
                }
            }
            Section::Hits => self.hits = hits::measure(bench)?,
            Section::SlowReaders => self.slow_readers = slow_readers::measure(bench)?,
            Section::WarmTag => self.warm_tag = warm_tag::measure(bench)?,
            Section::Rows => self.rows = rows::measure(bench)?,
            Section::Push => pushes::measure(bench, &mut self.pushes)?,
            Section::Tags => self.tags = tags::measure(bench)?,
            Section::Orphans => self.orphans = orphans::measure(bench)?,
            Section::Replication => self.replication = replication::measure(bench)?,
            Section::Deliveries => self.deliveries = deliveries::measure(bench)?,
        }
        Ok(())
    }
}
