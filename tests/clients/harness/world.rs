//! One test's world: two registries with content, and the mirror in front of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::Location;

use super::content::{Content, PROJECTS, Project};
use super::mirror::Mirror;
use super::remote::Remote;

pub(crate) struct World {
    /// In the order of [`PROJECTS`].
    contents: Vec<Content>,
    mirror: Mirror,
    /// In the order of [`PROJECTS`]; empty once they are stopped.
    remotes: Vec<Remote>,
    /// Last, so that it outlives the daemons that write into it.
    _folder: tempfile::TempDir,
}

/// Lays out a world and pulls from it three times, each time with a client that `pull` makes anew:
/// with nothing in the mirror, with everything in it, and with the registries stopped.
#[track_caller]
pub(crate) fn cold_hot_and_with_the_remotes_stopped(pull: impl Fn(&World)) {
    let test = Location::caller();
    let mut world = World::start();

    eprintln!("{test}: cold");
    pull(&world);
    eprintln!("{test}: hot");
    pull(&world);
    world.assert_each_blob_was_downloaded_once();

    eprintln!("{test}: with the remotes stopped");
    world.remotes.clear();
    pull(&world);
}

impl World {
    fn start() -> Self {
        Self::with("")
    }

    /// With further settings of the mirror, in their own tables.
    pub(crate) fn with(settings: &str) -> Self {
        Self::through(settings, |remote| remote)
    }

    /// As `with`; the mirror reaches each registry at the address that `way` gives for it.
    pub(crate) fn through(settings: &str, way: impl FnMut(SocketAddr) -> SocketAddr) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("entrepot-world-")
            .tempdir()
            .expect("a temporary folder");
        let mut remotes: Vec<Remote> = PROJECTS
            .iter()
            .map(|project| Remote::start(project.registry, &folder.path().join(project.registry)))
            .collect();

        let addresses: Vec<SocketAddr> = remotes.iter().map(Remote::address).collect();
        let contents = PROJECTS.iter().zip(&addresses).map(|(project, address)| {
            let folder = folder.path().join(format!("content-{}", project.owner));
            Content::publish(&folder, *address, project)
        });
        let contents = contents.collect();
        remotes.iter_mut().for_each(Remote::begin_counting);

        let ways = addresses.into_iter().map(way);
        let projects: Vec<_> = PROJECTS.iter().zip(ways).collect();
        let mirror = Mirror::start(&folder.path().join("mirror"), &projects, settings);
        Self {
            contents,
            mirror,
            remotes,
            _folder: folder,
        }
    }

    /// Every project with what there is to pull from it.
    pub(crate) fn projects(&self) -> impl Iterator<Item = (&Project, &Content)> {
        PROJECTS.iter().zip(&self.contents)
    }

    /// Where the mirror listens, as `host:port`.
    pub(crate) fn mirror(&self) -> SocketAddr {
        self.mirror.address()
    }

    /// Where the mirror listens for pulls only.
    pub(crate) fn pull_only(&self) -> SocketAddr {
        self.mirror.pull_only()
    }

    /// What the mirror has logged.
    pub(crate) fn log(&self) -> String {
        self.mirror.log()
    }

    /// The name of a repository for a client that is given the mirror itself as the registry.
    pub(crate) fn behind_mirror(&self, project: &Project, repository: &str) -> String {
        format!(
            "{}/{}/{}/{repository}",
            self.mirror(),
            project.host,
            project.owner
        )
    }

    /// However many repositories it is in, and in whichever registry.
    fn assert_each_blob_was_downloaded_once(&self) {
        let mut downloads: HashMap<String, usize> = HashMap::new();
        for (project, remote) in PROJECTS.iter().zip(&self.remotes) {
            let of_remote = remote.blob_downloads();
            assert!(
                !of_remote.is_empty(),
                "nothing was downloaded from {}",
                project.host
            );
            for (digest, count) in of_remote {
                *downloads.entry(digest).or_default() += count;
            }
        }
        downloads.retain(|_, count| *count > 1);
        assert!(
            downloads.is_empty(),
            "downloaded more than once: {downloads:?}"
        );
    }
}
