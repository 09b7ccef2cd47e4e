//! Who may do what in one project: the rights of users that are for this project by its very name. What a user has by a
//! pattern is for many projects, and changed with the user.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Accounts;
use crate::{
    access::{
        AccountError, Actor, GrantError, GrantText, Member,
        account::invalid,
        grant::{of_json, read_grants, to_json},
        principals::ADMIN,
    },
    meta::{AccountRow, MetaError, RightsChange},
};

const PAGE: u32 = 1000;
/// How often a change is tried that others get ahead of.
const ATTEMPTS: usize = 5;

impl Accounts {
    /// The members of each of these projects, by name of the user.
    pub async fn members(
        &self,
        projects: &HashSet<&str>,
    ) -> Result<HashMap<String, Vec<Member>>, MetaError> {
        let mut members: HashMap<String, Vec<Member>> = HashMap::new();
        let mut after = String::new();
        while let Some(page) = self.page(&mut after).await? {
            for row in page {
                for grant in of_json(&row.rights, &row.name) {
                    if projects.contains(grant.project.as_str()) {
                        let of_project = members.entry(grant.project.clone()).or_default();
                        of_project.push(Member::of(&row.name, grant));
                    }
                }
            }
        }
        Ok(members)
    }

    /// Could these be the members?
    ///
    /// # Errors
    /// `Invalid` with a field such as `members[0].principal`.
    pub async fn check_members(
        &self,
        project: &str,
        members: &[Member],
    ) -> Result<(), AccountError> {
        self.changes(project, members).await.map(drop)
    }

    /// From now on these are the members of the project, and nobody else is.
    pub async fn set_members(
        &self,
        actor: &Actor,
        project: &str,
        members: &[Member],
    ) -> Result<(), AccountError> {
        for _ in 0..ATTEMPTS {
            let changes = self.changes(project, members).await?;
            if changes.is_empty() {
                return Ok(());
            }
            let detail = serde_json::json!({ "members": members });
            let audit = actor.entry("project.members", project, Some(detail));
            if self.0.meta.account_rights(changes, audit).await? {
                return Ok(());
            }
        }
        Err(AccountError::Contended)
    }

    /// What has to change of users' rights.
    async fn changes(
        &self,
        project: &str,
        members: &[Member],
    ) -> Result<Vec<RightsChange>, AccountError> {
        let mut wanted = by_principal(project, members)?;
        let mut changes = Vec::new();
        let mut after = String::new();
        while let Some(page) = self.page(&mut after).await? {
            for row in page {
                let wanted = wanted.remove(row.name.as_str()).unwrap_or_default();
                changes.extend(change(row, project, wanted));
            }
        }
        match members
            .iter()
            .position(|member| wanted.contains_key(member.principal.as_str()))
        {
            None => Ok(changes),
            Some(index) => {
                let field = format!("members[{index}].principal");
                Err(invalid(&field, "there is no user of this name"))
            }
        }
    }

    /// The users after `after`, which is moved to the last of them; `None`: that was all.
    async fn page(&self, after: &mut String) -> Result<Option<Vec<AccountRow>>, MetaError> {
        let page = self.0.meta.accounts(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after.clone_from(&last.name);
        Ok(Some(page))
    }
}

/// The rights that each user is to have in the project.
fn by_principal<'m>(
    project: &str,
    members: &'m [Member],
) -> Result<BTreeMap<&'m str, Vec<GrantText>>, AccountError> {
    let grants: Vec<_> = members.iter().map(|member| member.grant(project)).collect();
    read_grants(&grants).map_err(|GrantError { field, problem }| {
        invalid(&field.replacen("rights", "members", 1), &problem)
    })?;
    let mut wanted: BTreeMap<&str, Vec<GrantText>> = BTreeMap::new();
    for (index, (member, grant)) in members.iter().zip(grants).enumerate() {
        if member.principal == ADMIN {
            let field = format!("members[{index}].principal");
            return Err(invalid(&field, "the first admin may do everything already"));
        }
        wanted.entry(&member.principal).or_default().push(grant);
    }
    Ok(wanted)
}

/// `None`: the user has these rights in the project already.
fn change(row: AccountRow, project: &str, wanted: Vec<GrantText>) -> Option<RightsChange> {
    let rights = of_json(&row.rights, &row.name);
    let (here, mut rights): (Vec<_>, Vec<_>) = rights
        .into_iter()
        .partition(|grant| grant.project == project);
    if here == wanted {
        return None;
    }
    rights.extend(wanted);
    Some(RightsChange {
        name: row.name,
        before: row.rights,
        after: to_json(&rights),
    })
}

impl Member {
    fn of(principal: &str, grant: GrantText) -> Self {
        Self {
            principal: principal.to_owned(),
            repositories: grant.repositories,
            rights: grant.rights,
        }
    }

    fn grant(&self, project: &str) -> GrantText {
        GrantText {
            project: project.to_owned(),
            repositories: self.repositories.clone(),
            rights: self.rights.clone(),
        }
    }
}
