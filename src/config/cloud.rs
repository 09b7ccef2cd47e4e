//! What the names of cloud registries say: where an instance is, and in which region a host is.

use url::Url;

use super::{
    ConfigError, Provider, error::Problem, section::Section, tree::Node, value::Read, value::text,
};

/// Where a provider keeps the registry: stands for `urls` when those are not given.
pub(super) struct Place {
    pub(super) instance: Option<String>,
    account: Option<String>,
    pub(super) region: Option<String>,
}

impl Place {
    pub(super) fn read(section: &mut Section<'_>, provider: Provider) -> Result<Self, ConfigError> {
        use Provider::{Aliyun, Ecr, Tencent};
        // Elsewhere it is a word to find the remote by.
        let region = section.take("region", label)?;
        let mut take = |key, allowed: &[Provider], names: &str| {
            let value = section.take(key, label)?;
            if value.is_some() && !allowed.contains(&provider) {
                let text = format!("not for this provider; it is for {names}");
                return Err(section.error(key, Problem::new(text)));
            }
            Ok(value)
        };
        let place = Self {
            instance: take("instance", &[Aliyun, Tencent], "aliyun and tencent")?,
            account: take("account", &[Ecr], "ecr")?,
            region,
        };
        let is_id = |id: &String| id.starts_with("cri-");
        if provider == Aliyun && place.instance.as_ref().is_some_and(|id| !is_id(id)) {
            let text =
                "expected the id of an Enterprise instance, such as \"cri-kmsiwlxxdcvaduwb\"";
            return Err(section.error("instance", Problem::new(text)));
        }
        Ok(place)
    }

    /// The registry's URL, if instance, account and region tell it.
    pub(super) fn url(&self, provider: Provider) -> Option<Url> {
        let host = match (provider, &self.instance, &self.account, &self.region) {
            (Provider::Ecr, _, Some(account), Some(region)) => {
                format!("{account}.dkr.ecr.{region}.{}", amazon_domain(region))
            }
            (Provider::Tencent, Some(name), ..) if !name.starts_with("tcr-") => {
                format!("{name}.tencentcloudcr.com")
            }
            (Provider::Aliyun, None, _, Some(region)) => format!("registry.{region}.aliyuncs.com"),
            _ => return None,
        };
        Url::parse(&format!("https://{host}/")).ok()
    }

    /// What is missing for that, for people.
    pub(super) fn hint(provider: Provider) -> &'static str {
        match provider {
            Provider::Ecr => "missing; expected `urls`, or `account` and `region`",
            Provider::Tencent => {
                "missing; expected `urls`, or the name of the instance as `instance`"
            }
            Provider::Aliyun => {
                "missing; expected `urls` such as [\"https://NAME-registry.REGION.cr.aliyuncs.com\"], or `region` for the personal edition"
            }
            _ => "missing; expected a list such as [\"https://registry.example.com\"]",
        }
    }
}

/// A part of a host name.
fn label(node: &Node) -> Read<String> {
    let text = text(node)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 63 || !text.bytes().all(allowed) {
        return Err(Problem::new(format!(
            "expected lower-case letters, digits and `-`, found `{text}`"
        )));
    }
    Ok(text)
}

/// Is there a service that gives out logins for access keys or machines?
pub(super) fn has_service(provider: Provider) -> bool {
    use Provider::{Aliyun, Azure, Ecr, Google, Tencent};
    matches!(provider, Ecr | Google | Azure | Aliyun | Tencent)
}

/// Must the region be known to ask it?
pub(super) fn needs_region(provider: Provider) -> bool {
    matches!(provider, Provider::Ecr | Provider::Aliyun)
}

/// Is this user name the id of an access key, to be exchanged for a login?
pub(super) fn is_access_key(provider: Provider, username: &str) -> bool {
    match provider {
        Provider::Ecr => username.starts_with("AKIA"),
        Provider::Aliyun => username.starts_with("LTAI"),
        Provider::Tencent => username.starts_with("AKID"),
        _ => false,
    }
}

/// Amazon's public gallery needs no login.
pub(super) fn is_public_ecr(url: &Url) -> bool {
    url.host_str() == Some(PUBLIC_ECR)
}

const PUBLIC_ECR: &str = "public.ecr.aws";

/// The domain of Amazon's services in a region.
pub fn amazon_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// The region in a registry's host name.
pub(super) fn region(provider: Provider, host: &str) -> Option<String> {
    let labels: Vec<&str> = host.split('.').collect();
    let region = match provider {
        // The gallery's service is in one region only.
        Provider::Ecr if host == PUBLIC_ECR => Some("us-east-1"),
        Provider::Ecr => amazon_region(&labels),
        Provider::Aliyun => alibaba_region(&labels),
        _ => None,
    };
    region.map(str::to_owned)
}

fn amazon_region<'h>(labels: &[&'h str]) -> Option<&'h str> {
    match labels {
        [_, "dkr", "ecr" | "ecr-fips", region, "amazonaws", ..]
        | [_, "dkr-ecr" | "dkr-ecr-fips", region, "on", ..] => Some(region),
        _ => None,
    }
}

fn alibaba_region<'h>(labels: &[&'h str]) -> Option<&'h str> {
    match labels {
        [_, region, "aliyuncs", "com"]
        | [_, region, "cr", "aliyuncs", "com"]
        | [_, region, "personal", "cr", "aliyuncs", "com"] => Some(region),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_its_region() {
        let region = |provider, host| region(provider, host).unwrap_or_default();
        let ecr = |host| region(Provider::Ecr, host);
        assert_eq!(
            ecr("123456789012.dkr.ecr.eu-central-1.amazonaws.com"),
            "eu-central-1"
        );
        assert_eq!(
            ecr("1.dkr.ecr-fips.us-gov-west-1.amazonaws.com"),
            "us-gov-west-1"
        );
        assert_eq!(ecr("1.dkr.ecr.cn-north-1.amazonaws.com.cn"), "cn-north-1");
        assert_eq!(ecr("1.dkr-ecr.us-east-1.on.aws"), "us-east-1");
        assert_eq!(ecr("public.ecr.aws"), "us-east-1");
        assert_eq!(ecr("registry.example.com"), "");
        let aliyun = |host| region(Provider::Aliyun, host);
        assert_eq!(aliyun("registry-vpc.cn-beijing.aliyuncs.com"), "cn-beijing");
        assert_eq!(
            aliyun("mine-registry.cn-hangzhou.cr.aliyuncs.com"),
            "cn-hangzhou"
        );
        assert_eq!(
            aliyun("crpi-1.cn-shanghai.personal.cr.aliyuncs.com"),
            "cn-shanghai"
        );
        assert_eq!(aliyun("mirror.example.cn"), "");
    }

    #[test]
    fn account_instance_and_region_tell_the_url() {
        let url =
            |provider, instance: Option<&str>, account: Option<&str>, region: Option<&str>| {
                let place = Place {
                    instance: instance.map(str::to_owned),
                    account: account.map(str::to_owned),
                    region: region.map(str::to_owned),
                };
                place.url(provider).map(String::from).unwrap_or_default()
            };
        let ecr = |region| url(Provider::Ecr, None, Some("123456789012"), Some(region));
        assert_eq!(
            ecr("eu-west-1"),
            "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            ecr("cn-north-1"),
            "https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/"
        );
        assert_eq!(url(Provider::Ecr, None, Some("1"), None), "");
        assert_eq!(
            url(Provider::Tencent, Some("mine"), None, None),
            "https://mine.tencentcloudcr.com/"
        );
        assert_eq!(
            url(Provider::Tencent, Some("tcr-1"), None, Some("ap-guangzhou")),
            ""
        );
        assert_eq!(
            url(Provider::Aliyun, None, None, Some("cn-beijing")),
            "https://registry.cn-beijing.aliyuncs.com/"
        );
        assert_eq!(
            url(Provider::Aliyun, Some("cri-1"), None, Some("cn-beijing")),
            ""
        );
    }
}
