//! Docker Hub: a push makes the repository, within an account or organisation that is there.

use super::profile::{Abilities, Profile};

pub(super) const PROFILE: Profile = Profile {
    title: "Docker Hub",
    url_hint: "https://registry-1.docker.io",
    credential_hint: "user name and an access token as password",
    fields: &[],
    can: Abilities {
        create: false,
        delete_tag: false,
        chunk: true,
        mount: true,
        referrers: true,
    },
};
