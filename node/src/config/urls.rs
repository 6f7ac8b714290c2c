//! URLs to listen on and to advertise: `http://` or `https://`, a host, a port, nothing else.
//!
//! What this file keeps true: plain text is spoken to this machine only, unless the operator of the process said
//! `--allow-insecure-listen`. Probes and metrics carry no data and are plain everywhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ConfigError;

/// Most addresses in one list: each costs a listener, and nobody has more interfaces to name.
pub const URLS_MAX: usize = 16;

/// Plain text or TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// One address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Plain text or TLS.
    pub scheme: Scheme,
    /// Where; port 0 lets the system choose (tests).
    pub address: SocketAddr,
}

/// URLs told to others: normalised text, and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised(Vec<String>);

impl Advertised {
    /// The URLs, in the order given.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.0
    }
}

/// The list in `text`, or `http://127.0.0.1:<port>` when nothing was said.
pub(super) fn listen(flag: &'static str, text: Option<&str>, port: u16) -> Result<Vec<Listen>, ConfigError> {
    let Some(text) = text else {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        return Ok(vec![Listen {
            scheme: Scheme::Http,
            address,
        }]);
    };
    split(flag, text)?
        .into_iter()
        .map(|url| listen_url(flag, url))
        .collect()
}

/// The list in `text`, or the listening addresses when nothing was said. An advertised scheme must be one that is
/// listened with: members and clients could not connect otherwise.
pub(super) fn advertised(flag: &'static str, text: Option<&str>, listen: &[Listen]) -> Result<Advertised, ConfigError> {
    let Some(text) = text else {
        return match listen.iter().find(|listen| listen.address.ip().is_unspecified()) {
            Some(open) => {
                let reason = format!(
                    "needed, because {} is not an address that others can dial",
                    open.address
                );
                Err(ConfigError::new(flag, reason))
            }
            None => Ok(Advertised(
                listen
                    .iter()
                    .map(|listen| format!("{}://{}", listen.scheme.text(), listen.address))
                    .collect(),
            )),
        };
    };
    let mut urls = Vec::new();
    for url in split(flag, text)? {
        let parts = parts(flag, url)?;
        if !listen.iter().any(|listen| listen.scheme == parts.scheme) {
            let reason = format!("{url}: nothing listens with {}://", parts.scheme.text());
            return Err(ConfigError::new(flag, reason));
        }
        urls.push(format!("{}://{}:{}", parts.scheme.text(), parts.host, parts.port));
    }
    Ok(Advertised(urls))
}

/// Advertised URLs, normalised, of a member that does not run here: what it listens on is not known.
pub(super) fn told(flag: &'static str, text: &str) -> Result<Advertised, ConfigError> {
    let urls = split(flag, text)?.into_iter().map(|url| member_url(flag, url));
    Ok(Advertised(urls.collect::<Result<_, _>>()?))
}

/// A URL of `--initial-cluster`, normalised.
pub(crate) fn member_url(flag: &'static str, url: &str) -> Result<String, ConfigError> {
    let parts = parts(flag, url)?;
    Ok(format!("{}://{}:{}", parts.scheme.text(), parts.host, parts.port))
}

pub(super) fn uses_tls(listen: &[Listen]) -> bool {
    listen.iter().any(|listen| listen.scheme == Scheme::Https)
}

pub(super) fn demand_plain(flag: &'static str, listen: &[Listen]) -> Result<(), ConfigError> {
    if uses_tls(listen) {
        return Err(ConfigError::new(
            flag,
            "probes and metrics are plain text: only http:// is allowed",
        ));
    }
    Ok(())
}

/// One port speaks either TLS or plain text: a mixture would leave a plain door beside the locked one.
pub(super) fn demand_one_scheme(flag: &'static str, listen: &[Listen]) -> Result<(), ConfigError> {
    if uses_tls(listen) && listen.iter().any(|listen| listen.scheme == Scheme::Http) {
        return Err(ConfigError::new(flag, "http:// and https:// cannot be mixed"));
    }
    Ok(())
}

pub(super) fn refuse_exposed_plain_text(
    flag: &'static str,
    listen: &[Listen],
    insecure: bool,
) -> Result<(), ConfigError> {
    let exposed = |listen: &&Listen| listen.scheme == Scheme::Http && !listen.address.ip().is_loopback();
    match listen.iter().find(exposed) {
        Some(listen) if !insecure => {
            let reason = format!(
                "plain text on {} would be readable by others: use https://, a loopback address, or --allow-insecure-listen",
                listen.address
            );
            Err(ConfigError::new(flag, reason))
        }
        _ => Ok(()),
    }
}

impl Scheme {
    fn text(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

struct Parts {
    scheme: Scheme,
    /// As written; an IPv6 address keeps its brackets.
    host: String,
    port: u16,
}

fn split<'a>(flag: &'static str, text: &'a str) -> Result<Vec<&'a str>, ConfigError> {
    let urls: Vec<&str> = text.split(',').map(str::trim).collect();
    if urls.iter().any(|url| url.is_empty()) {
        return Err(ConfigError::new(
            flag,
            "needs at least one URL, and no empty ones between commas",
        ));
    }
    if urls.len() > URLS_MAX {
        return Err(ConfigError::new(
            flag,
            format!("{} URLs are too many: at most {URLS_MAX}", urls.len()),
        ));
    }
    Ok(urls)
}

fn listen_url(flag: &'static str, url: &str) -> Result<Listen, ConfigError> {
    let parts = parts(flag, url)?;
    let bare = parts.host.trim_start_matches('[').trim_end_matches(']');
    let ip = match bare {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        bare => bare.parse().map_err(|_| {
            ConfigError::new(
                flag,
                format!("{url}: the host to listen on must be an IP address or localhost"),
            )
        })?,
    };
    Ok(Listen {
        scheme: parts.scheme,
        address: SocketAddr::new(ip, parts.port),
    })
}

fn parts(flag: &'static str, url: &str) -> Result<Parts, ConfigError> {
    let wrong = |what: &str| ConfigError::new(flag, format!("{url}: {what}; http(s)://host:port is allowed"));
    let uri: http::Uri = url.parse().map_err(|_| wrong("not a URL"))?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(wrong("the scheme is not http or https")),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("a path or query has no meaning here"));
    }
    let host = uri
        .host()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| wrong("no host"))?
        .to_owned();
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(wrong("a user name has no meaning here"));
    }
    let port = uri.port_u16().ok_or_else(|| wrong("no port"))?;
    Ok(Parts { scheme, host, port })
}
