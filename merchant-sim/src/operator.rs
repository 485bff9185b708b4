//! The network's operator, who changes the bank directory at the platform.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use certs::files::read;
use mesh::channel::{MeshChannel, within};
use mesh::signing::Signer;
use prost::Message as _;
use proto::pb;
use proto::pb::bank_directory_client::BankDirectoryClient;
use tonic::Status;

use crate::hostile::bank::sign;
use crate::hostile::line::platform_channel;
use crate::shop::identity;
use crate::topology::{KeyPair, Topology};

/// How long a change may take: it is one commit.
const CALL_TIME: Duration = Duration::from_secs(10);

/// The largest page of the change log.
const PAGE: u32 = 100;

/// Changes the directory with a certificate for the calls and a key for the entries.
#[derive(Debug)]
pub struct Operator {
    client: BankDirectoryClient<MeshChannel>,
    signer: Signer,
}

impl Operator {
    /// The operator of a network.
    ///
    /// # Errors
    /// Its files can't be used.
    pub fn of(topology: &Topology) -> Result<Self> {
        Self::with(topology, &topology.operator.tls, &topology.operator.signing)
    }

    /// Whoever calls with this certificate and signs with this key.
    ///
    /// # Errors
    /// The files can't be used.
    pub fn with(topology: &Topology, tls: &KeyPair, signing: &KeyPair) -> Result<Self> {
        let client = BankDirectoryClient::new(platform_channel(topology, identity(topology, tls)?)?);
        let signer = Signer::from_pem(&read(&signing.certificate)?, &read(&signing.key)?)?;
        Ok(Self { client, signer })
    }

    /// A member's entry as the operator would sign it next: what the directory's file says, with the
    /// version after the one in force.
    ///
    /// # Errors
    /// The file can't be read, or nobody of that id is in it; the platform refuses to list its changes.
    pub async fn next_entry(&self, topology: &Topology, member: &str) -> Result<pb::DirectoryEntry> {
        let file = pb::DirectoryFile::decode(read(&topology.directory)?.as_slice())?;
        let entries = file.entries.iter().filter_map(|entry| pb::DirectoryEntry::decode(entry.body.clone()).ok());
        let entry = entries.filter(|entry| entry.member_id == member).last();
        let entry = entry.with_context(|| format!("{member} is not in the directory"))?;
        let version = self.version(member).await?.max(entry.version) + 1;
        Ok(pb::DirectoryEntry { version, signed_at: Some(proto::time::to_pb(SystemTime::now())), ..entry })
    }

    async fn version(&self, member: &str) -> Result<u64> {
        let mut page_token = String::new();
        let mut version = 0;
        loop {
            let request = pb::ListChangesRequest { page_size: PAGE, page_token };
            let page = self.client.clone().list_changes(within(request, CALL_TIME)).await.context("ListChanges")?;
            let page = page.into_inner();
            let own = page.changes.iter().filter(|change| change.member_id == member);
            version = own.map(|change| change.entry_version).fold(version, u64::max);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(version);
            }
        }
    }

    /// Suspends a member, and says from when on that was durable.
    ///
    /// # Errors
    /// The platform refuses.
    pub async fn suspend(&self, topology: &Topology, member: &str) -> Result<()> {
        let mut entry = self.next_entry(topology, member).await?;
        entry.set_status(pb::MemberStatus::Suspended);
        let request = pb::SuspendBankRequest { entry: Some(self.signed(&entry)) };
        self.client.clone().suspend_bank(within(request, CALL_TIME)).await.context("SuspendBank")?;
        Ok(())
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// The platform refuses.
    pub async fn resume(&self, topology: &Topology, member: &str) -> Result<()> {
        let mut entry = self.next_entry(topology, member).await?;
        entry.set_status(pb::MemberStatus::Active);
        let request = pb::ResumeBankRequest { entry: Some(self.signed(&entry)) };
        self.client.clone().resume_bank(within(request, CALL_TIME)).await.context("ResumeBank")?;
        Ok(())
    }

    /// Puts an entry as it is signed.
    ///
    /// # Errors
    /// The platform's status.
    pub async fn put(&self, entry: pb::Signed) -> Result<u64, Status> {
        let request = pb::PutBankRequest { entry: Some(entry) };
        Ok(self.client.clone().put_bank(within(request, CALL_TIME)).await?.into_inner().directory_version)
    }

    /// An entry under this operator's signature.
    #[must_use]
    pub fn signed(&self, entry: &pb::DirectoryEntry) -> pb::Signed {
        sign(&self.signer, entry)
    }

    /// The signing certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> Bytes {
        Bytes::copy_from_slice(self.signer.certificate_der())
    }
}
