//! GitHub Container Registry: a push makes the package.

use super::profile::{Abilities, Profile};

pub(super) const PROFILE: Profile = Profile {
    title: "GitHub Container Registry",
    url_hint: "https://ghcr.io",
    credential_hint: "user name and a personal access token as password",
    fields: &[],
    can: Abilities {
        create: false,
        delete_tag: false,
        chunk: false,
        mount: true,
        referrers: false,
    },
};
