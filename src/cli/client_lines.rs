//! What `serve` prints at its start: where it listens, and lines to paste into clients.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use crate::{
    access::first_admin,
    config::{Config, Project, ProjectKind, Secret, Visibility},
};

const DOCKER_HUB: &str = "docker.io";

/// The text, ready to print.
pub(super) fn client_lines(
    config: &Config,
    address: SocketAddr,
    mirror_address: Option<SocketAddr>,
) -> String {
    let scheme = if config.server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let main = match &config.server.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{}", reachable(address)),
    };
    let mirror = mirror_address.map(|address| format!("{scheme}://{}", reachable(address)));
    let mut text = format!(
        "Entrepot {} listens on {scheme}://{address}",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(address) = mirror_address {
        put(
            &mut text,
            format_args!(", for pulls only on {scheme}://{address}"),
        );
    }
    text.push('\n');
    let mirrors = public_mirrors(&config.projects);
    let Some(example) = mirrors
        .iter()
        .find(|project| project.name == DOCKER_HUB)
        .or(mirrors.first())
    else {
        return text;
    };
    let host = host_of(&main);
    put(
        &mut text,
        format_args!(
            "  pull        docker pull {host}/{}/{}\n",
            example.name,
            image_of(&example.name)
        ),
    );
    let mirror = mirror.unwrap_or(main);
    let host = host_of(&mirror);
    if mirrors
        .iter()
        .any(|project| project.default && project.name == DOCKER_HUB)
    {
        put(
            &mut text,
            format_args!(
                "  Docker      /etc/docker/daemon.json: {{\"registry-mirrors\": [\"{mirror}\"]}}\n",
            ),
        );
    }
    put(
        &mut text,
        format_args!(
            "  containerd  /etc/containerd/certs.d/_default/hosts.toml: [host.\"{mirror}\"]\n              capabilities = [\"pull\", \"resolve\"]\n",
        ),
    );
    let insecure = if mirror.starts_with("http:") {
        "\n              insecure = true"
    } else {
        ""
    };
    put(
        &mut text,
        format_args!(
            "  Podman      /etc/containers/registries.conf: [[registry]] with location = \"{0}\", then\n              [[registry.mirror]] with location = \"{host}/{0}\"{insecure}\n",
            example.name,
        ),
    );
    text
}

/// The login that this start has made. It is told here and nowhere else.
pub(super) fn admin_line(password: &Secret, folder: &Path) -> String {
    format!(
        "  admin       user `admin`, password `{}`: made now, not shown again, kept in {}\n",
        password.expose(),
        first_admin::path(folder).display()
    )
}

/// An address that a client on this machine can dial.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn public_mirrors(projects: &[Project]) -> Vec<&Project> {
    projects
        .iter()
        .filter(|project| {
            matches!(project.kind, ProjectKind::Mirror { .. })
                && project.visibility == Visibility::Public
        })
        .collect()
}

fn image_of(project: &str) -> &'static str {
    match project {
        DOCKER_HUB => "library/nginx",
        _ => "<repository>",
    }
}

fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a String does not fail");
}
