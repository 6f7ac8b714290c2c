//! Certificates for a test cluster, shaped as the operator makes them: one authority for clients, one for peers, one
//! leaf per member and port, the cluster id and the name in a URI.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};

/// One certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The certificate as bytes, to compare with what a server shows.
    pub der: Vec<u8>,
}

/// An authority that signs leaves.
pub struct Authority {
    /// Its own certificate, PEM.
    pub cert: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a leaf is for.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// Shown to clients.
    Server,
    /// Shown to servers.
    Client,
    /// Both, between members.
    Peer,
}

impl Authority {
    /// A new one, with a key of its own.
    #[must_use]
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("ring makes a key");
        let cert = params.self_signed(&key).expect("the parameters are complete").pem();
        Authority {
            cert,
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf for 127.0.0.1 and localhost, with `uri` as its identity if there is one.
    #[must_use]
    pub fn leaf(&self, name: &str, uri: Option<String>, usage: Use) -> Leaf {
        self.leaf_at(&[], name, uri, usage)
    }

    /// As [`Authority::leaf`], for these addresses too.
    fn leaf_at(&self, addresses: &[String], name: &str, uri: Option<String>, usage: Use) -> Leaf {
        let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        names.extend_from_slice(addresses);
        let mut params = CertificateParams::new(names).expect("all names are valid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(rand::random::<u64>() >> 1));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match usage {
            Use::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Use::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        if let Some(uri) = uri {
            params
                .subject_alt_names
                .push(SanType::URI(uri.try_into().expect("our URIs are ASCII")));
        }
        let key = KeyPair::generate().expect("ring makes a key");
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("the parameters are complete");
        Leaf {
            cert: cert.pem(),
            key: key.serialize_pem(),
            der: cert.der().to_vec(),
        }
    }
}

/// A cluster's two authorities.
pub struct Pki {
    /// Signs what clients and the client port show.
    pub clients: Authority,
    /// Signs what members show each other.
    pub peers: Authority,
    /// In every URI, as 16 hex digits.
    pub cluster: String,
    /// Where members are found besides loopback.
    addresses: Vec<String>,
}

impl Pki {
    /// New authorities for the cluster with this id.
    #[must_use]
    pub fn new(cluster_id: u64) -> Pki {
        Pki::at(cluster_id, Vec::new())
    }

    /// As [`Pki::new`], for members that are found at these addresses.
    #[must_use]
    pub fn at(cluster_id: u64, addresses: Vec<String>) -> Pki {
        Pki {
            addresses,
            clients: Authority::new("kvorum test clients"),
            peers: Authority::new("kvorum test peers"),
            cluster: format!("{cluster_id:016x}"),
        }
    }

    /// What a member shows to clients.
    #[must_use]
    pub fn server(&self, member: &str) -> Leaf {
        self.clients.leaf_at(&self.addresses, member, None, Use::Server)
    }

    /// What a member shows to members.
    #[must_use]
    pub fn peer(&self, member: &str) -> Leaf {
        let uri = format!("kvorum://{}/{member}", self.cluster);
        self.peers.leaf_at(&self.addresses, member, Some(uri), Use::Peer)
    }

    /// What an ordinary program shows.
    #[must_use]
    pub fn application(&self) -> Leaf {
        self.clients.leaf("application", None, Use::Client)
    }

    /// What the operator shows.
    #[must_use]
    pub fn operator(&self) -> Leaf {
        self.clients.leaf(
            "operator",
            Some(format!("kvorum://{}/operator", self.cluster)),
            Use::Client,
        )
    }
}
