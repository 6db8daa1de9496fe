//! The address of a server, as an administrator writes it.
//!
//! Invariant: what parses can be dialled as it stands; user names, queries and fragments are refused.

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;

use crate::base::error::{Error, Result};

/// The longest path of a Unix socket that the kernel takes.
const MAX_SOCKET_PATH: usize = 107;

/// A server and the path its API begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub place: Place,
    /// Starts with `/` or is empty; never ends with one.
    pub base: String,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `host` is a name or an address without brackets.
    Tcp {
        host: String,
        port: u16,
        tls: bool,
    },
    Unix(PathBuf),
}

impl Target {
    /// Reads `http://host[:port][/base]`, `https://..` or `unix:/absolute/path` (whose API begins at `/v1`).
    ///
    /// # Errors
    /// `invalid_url`, saying what is wrong.
    pub fn parse(url: &str) -> Result<Self> {
        let refused = |why: &str| {
            let sentence = format!(
                "`{url}` is not the address of a server: {why}. Write one like http://gpu1:8000/v1, https://models.site/v1 or unix:/run/model.sock."
            );
            Error::invalid("invalid_url", sentence).field("base_url")
        };
        if let Some(path) = url.strip_prefix("unix:") {
            return match path {
                _ if !path.starts_with('/') => Err(refused("the path of a Unix socket must be absolute")),
                _ if path.len() > MAX_SOCKET_PATH => Err(refused("the path of a Unix socket has at most 107 bytes")),
                _ => Ok(Self { place: Place::Unix(path.into()), base: "/v1".to_owned() }),
            };
        }
        let uri: Uri = url.parse().map_err(|_| refused("it is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("it must start with http://, https:// or unix:/")),
        };
        let authority = uri.authority().ok_or_else(|| refused("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("a user name does not belong here; give the key as api_key"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(refused("it must end with the path"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(refused("it has no host"));
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, digits)) if !digits.contains(']') => {
                digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| refused("the port is none"))?
            }
            _ if tls => 443,
            _ => 80,
        };
        Ok(Self { place: Place::Tcp { host, port, tls }, base: uri.path().trim_end_matches('/').to_owned() })
    }

    /// `host:port` as the Host header wants it.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// Host and port of an absolute `http` or `https` address: the host in lower case, without brackets and a dot at its end.
pub fn server_of(uri: &Uri) -> (String, u16) {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    (host.to_ascii_lowercase(), uri.port_u16().unwrap_or(if is_tls(uri) { 443 } else { 80 }))
}

/// Whether an address is to be reached over TLS.
pub fn is_tls(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { tls, .. } => {
                write!(f, "{}://{}{}", if *tls { "https" } else { "http" }, self.authority(), self.base)
            }
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written() {
        let shown = |url| Target::parse(url).unwrap().to_string();
        assert_eq!(shown("http://GPU1:8000/v1/"), "http://gpu1:8000/v1");
        assert_eq!(shown("https://models.site"), "https://models.site:443");
        assert_eq!(shown("http://[::1]:9/v1"), "http://[::1]:9/v1");
        assert_eq!(shown("http://[::1]/v1"), "http://[::1]:80/v1");
        assert_eq!(shown("unix:/run/model.sock"), "unix:/run/model.sock");
        for bad in [
            "",
            "gpu1",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?q",
            "http://a/#f",
            "http://a:0",
            "http://a:70000",
            "unix:rel",
        ] {
            assert_eq!(Target::parse(bad).map_err(|error| error.code()), Err("invalid_url"), "{bad}");
        }
    }
}
