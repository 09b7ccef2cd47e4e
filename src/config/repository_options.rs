//! How repositories are made at Amazon ECR, in the words of its `CreateRepository`.

use super::{
    ConfigError, Provider,
    cloud::is_public_ecr,
    error::Problem,
    section::Section,
    tree::Node,
    value::{Read, boolean, choice, text},
};

/// The bound of `CreateRepository` on a key, in characters.
const MAX_KMS_KEY_LENGTH: usize = 2048;
const MUTABILITIES: &[(&str, TagMutability)] = &[
    ("MUTABLE", TagMutability::Mutable),
    ("IMMUTABLE", TagMutability::Immutable),
];
const ENCRYPTIONS: &[(&str, EncryptionType)] = &[
    ("AES256", EncryptionType::Aes256),
    ("KMS", EncryptionType::Kms),
];
const KEYS: [&str; 4] = [
    "image_tag_mutability",
    "scan_on_push",
    "encryption_type",
    "kms_key",
];

/// What a repository that is made gets; `None`: what the registry's own settings say. One that is there stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryOptions {
    /// `imageTagMutability`
    pub tag_mutability: Option<TagMutability>,
    /// `imageScanningConfiguration.scanOnPush`
    pub scan_on_push: Option<bool>,
    /// `encryptionConfiguration.encryptionType`
    pub encryption: Option<EncryptionType>,
    /// `encryptionConfiguration.kmsKey`: id, alias or ARN; `None`: AWS's own key for ECR.
    pub kms_key: Option<String>,
}

/// May a tag be moved to another image?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagMutability {
    Mutable,
    Immutable,
}

/// What the images of a repository are encrypted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionType {
    Aes256,
    Kms,
}

impl TagMutability {
    /// The word of the configuration and of AWS.
    pub fn as_str(self) -> &'static str {
        word(MUTABILITIES, &self)
    }
}

impl EncryptionType {
    /// The word of the configuration and of AWS.
    pub fn as_str(self) -> &'static str {
        word(ENCRYPTIONS, &self)
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, known)| known == value);
    found.expect("each value has its word").0
}

impl RepositoryOptions {
    /// Reads the keys of one `[[remote]]`; elsewhere than at a private registry of Amazon none may be set.
    pub(super) fn read(
        section: &mut Section<'_>,
        provider: Provider,
        urls: &[url::Url],
    ) -> Result<Self, ConfigError> {
        let wrong = |section: &Section<'_>, key, text| Err(section.error(key, Problem::new(text)));
        let options = Self {
            tag_mutability: section.take(KEYS[0], choice(MUTABILITIES))?,
            scan_on_push: section.take(KEYS[1], boolean)?,
            encryption: section.take(KEYS[2], choice(ENCRYPTIONS))?,
            kms_key: section.take(KEYS[3], kms_key)?,
        };
        if let Some(key) = KEYS.into_iter().find(|key| section.has(key)) {
            if provider != Provider::Ecr {
                return wrong(section, key, "not for this provider; it is for ecr");
            }
            if urls.iter().any(is_public_ecr) {
                let text = "not for public.ecr.aws, whose repositories are made by hand";
                return wrong(section, key, text);
            }
        }
        if options.kms_key.is_some() && options.encryption != Some(EncryptionType::Kms) {
            let text = "set without `encryption_type = \"KMS\"`; it goes with that";
            return wrong(section, "kms_key", text);
        }
        Ok(options)
    }
}

/// The id, alias or ARN of a key.
fn kms_key(node: &Node) -> Read<String> {
    let text = text(node)?;
    let allowed = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() || text.len() > MAX_KMS_KEY_LENGTH || !text.bytes().all(allowed) {
        return Err(Problem::new(
            "expected a key's id, alias or ARN, such as \"alias/registry\"",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::config::{Declared, Row, Rows};

    /// What a remote with these members has, or why not.
    fn read(members: &Value) -> Result<RepositoryOptions, String> {
        let mut all: Map<String, Value> = members.as_object().expect("an object").clone();
        let place = json!({"account": "123456789012", "region": "eu-central-1"});
        if !all.contains_key("provider") {
            all.insert("provider".to_owned(), json!("ecr"));
            all.extend(place.as_object().expect("an object").clone());
        }
        let rows = Rows {
            remotes: vec![Row::new("cloud", &all, BTreeMap::new())],
            projects: Vec::new(),
        };
        let mut read = Declared::default().with(&rows).expect("nothing declared");
        if let Some(refused) = read.refused.pop() {
            return Err(format!("{}: {}", refused.error.key, refused.error.problem));
        }
        let found = read.remotes.into_iter().find(|one| one.name == "cloud");
        Ok(found.expect("it is read").repositories)
    }

    #[test]
    fn options_have_the_words_of_aws() {
        assert_eq!(read(&json!({})).unwrap(), RepositoryOptions::default());
        let all = json!({
            "image_tag_mutability": "IMMUTABLE",
            "scan_on_push": true,
            "encryption_type": "KMS",
            "kms_key": "alias/registry",
        });
        let expected = RepositoryOptions {
            tag_mutability: Some(TagMutability::Immutable),
            scan_on_push: Some(true),
            encryption: Some(EncryptionType::Kms),
            kms_key: Some("alias/registry".to_owned()),
        };
        assert_eq!(read(&all).unwrap(), expected);
    }

    #[test]
    fn mistakes_name_the_key_and_what_is_allowed() {
        let of = |members: Value| read(&members).expect_err("it is refused");
        let told = [
            of(json!({"image_tag_mutability": "immutable"})),
            of(json!({"scan_on_push": "yes"})),
            of(json!({"encryption_type": "AES-256"})),
            of(json!({"encryption_type": "KMS", "kms_key": "my key"})),
            of(json!({"kms_key": "alias/registry"})),
            of(json!({"encryption_type": "AES256", "kms_key": "alias/registry"})),
            of(json!({"provider": "harbor", "urls": ["https://h.example"], "scan_on_push": false})),
            of(
                json!({"provider": "ecr", "urls": ["https://public.ecr.aws"], "scan_on_push": true}),
            ),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }
}
