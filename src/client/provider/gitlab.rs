//! GitLab: a push makes the repository, within a project that is there.

use super::profile::{Abilities, Profile};

pub(super) const PROFILE: Profile = Profile {
    title: "GitLab",
    url_hint: "https://registry.gitlab.com",
    credential_hint: "a deploy token: its user name and the token as password",
    fields: &[],
    can: Abilities {
        create: false,
        delete_tag: true,
        chunk: true,
        mount: true,
        referrers: false,
    },
};
