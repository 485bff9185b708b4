//! `BankDirectory`: lists for everybody, the stream for members, changes for the operator.

use std::sync::Arc;

use mesh::{access::peer_of, serve::MESSAGE_BYTES_MAX, store::Seq};
use prost::Message as _;
use proto::{
    fields::Invalid,
    ids::MemberId,
    pb::{self, bank_directory_server::BankDirectory},
};
use tonic::{Request, Response, Status};

use super::{LIST_BYTES_MAX, member_of, watch};
use crate::{
    checkouts::{BankOption, bank_options},
    context::Context,
    domain::change::ChangeKind,
    error::Error,
};

/// The edge of the bank directory.
#[derive(Clone, Debug)]
pub struct BankDirectoryService(Arc<Context>);

impl BankDirectoryService {
    /// Serves this platform's directory.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    async fn change<T>(&self, kind: ChangeKind, request: Request<T>, entry: Option<pb::Signed>) -> Result<u64, Status> {
        let operator = peer_of(&request)?;
        let entry = entry.ok_or_else(|| Error::from(Invalid::field("entry", "must be set")))?;
        let context = Arc::clone(&self.0);
        // A caller that goes away must not leave a change half told: the change and its publication go on.
        let work = tokio::spawn(async move { context.register.change(kind, entry, &operator.id).await });
        let version = work.await.map_err(|_| Error::Inconsistent("a change of the directory panicked"))?;
        Ok(version?)
    }
}

#[tonic::async_trait]
impl BankDirectory for BankDirectoryService {
    async fn list_banks(
        &self,
        request: Request<pb::ListBanksRequest>,
    ) -> Result<Response<pb::ListBanksResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size, 20, 50).map_err(Error::from)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<MemberId>().map_err(|_| unknown_token())?),
        };
        let mut banks = Vec::new();
        let mut bytes = 0;
        let mut next_page_token = String::new();
        let options = bank_options(&self.0);
        let first = after.map_or(0, |after| options.partition_point(|option| option.bank.entry().member <= after));
        for option in options.into_iter().skip(first) {
            let bank = self.listed(&option);
            bytes += bank.encoded_len() + MESSAGE_FRAME;
            // A page is as long as it may be, or as it fits into a message.
            if banks.len() == size || bytes > LIST_BYTES_MAX {
                next_page_token = banks.last().map(|last: &pb::ListedBank| last.bank_id.clone()).unwrap_or_default();
                break;
            }
            banks.push(bank);
        }
        Ok(Response::new(pb::ListBanksResponse { banks, next_page_token }))
    }

    type WatchBanksStream = watch::Updates;

    async fn watch_banks(&self, request: Request<pb::WatchBanksRequest>) -> Result<Response<watch::Updates>, Status> {
        let peer = peer_of(&request)?;
        let member = member_of(&peer)?;
        let after = request.into_inner().after_version;
        Ok(Response::new(watch::open(&self.0, member, peer.id.role(), after)?))
    }

    async fn put_bank(
        &self,
        mut request: Request<pb::PutBankRequest>,
    ) -> Result<Response<pb::PutBankResponse>, Status> {
        let entry = request.get_mut().entry.take();
        let directory_version = self.change(ChangeKind::Put, request, entry).await?;
        Ok(Response::new(pb::PutBankResponse { directory_version }))
    }

    async fn suspend_bank(
        &self,
        mut request: Request<pb::SuspendBankRequest>,
    ) -> Result<Response<pb::SuspendBankResponse>, Status> {
        let entry = request.get_mut().entry.take();
        let directory_version = self.change(ChangeKind::Suspend, request, entry).await?;
        Ok(Response::new(pb::SuspendBankResponse { directory_version }))
    }

    async fn resume_bank(
        &self,
        mut request: Request<pb::ResumeBankRequest>,
    ) -> Result<Response<pb::ResumeBankResponse>, Status> {
        let entry = request.get_mut().entry.take();
        let directory_version = self.change(ChangeKind::Resume, request, entry).await?;
        Ok(Response::new(pb::ResumeBankResponse { directory_version }))
    }

    async fn remove_bank(
        &self,
        mut request: Request<pb::RemoveBankRequest>,
    ) -> Result<Response<pb::RemoveBankResponse>, Status> {
        let entry = request.get_mut().entry.take();
        let directory_version = self.change(ChangeKind::Remove, request, entry).await?;
        Ok(Response::new(pb::RemoveBankResponse { directory_version }))
    }

    async fn list_changes(
        &self,
        request: Request<pb::ListChangesRequest>,
    ) -> Result<Response<pb::ListChangesResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size, 50, 100).map_err(Error::from)?;
        let after = match request.page_token.as_str() {
            "" => Seq::START,
            token => Seq::new(token.parse().map_err(|_| unknown_token())?),
        };
        let page = self.0.register.log(after, size).await?;
        let next_page_token = page.next.map(|next| next.number().to_string()).unwrap_or_default();
        Ok(Response::new(pb::ListChangesResponse { changes: page.changes, next_page_token }))
    }
}

/// The largest tag and length before an element of a list.
const MESSAGE_FRAME: usize = 4;
// A list of our own never meets the limit of a message.
const _: () = assert!(LIST_BYTES_MAX < MESSAGE_BYTES_MAX);

impl BankDirectoryService {
    fn listed(&self, option: &BankOption) -> pb::ListedBank {
        let entry = option.bank.entry();
        pb::ListedBank {
            bank_id: entry.member.to_string(),
            name_zh_tw: entry.name_zh_tw.clone(),
            name_en: entry.name_en.clone(),
            logo_svg: entry.logo_svg.clone(),
            app_link: entry.app_link.as_ref().map(ToString::to_string).unwrap_or_default(),
            status: entry.status.to_pb().into(),
            health: self.0.health.of(&entry.member).to_pb().into(),
        }
    }
}

fn page_size(asked: u32, default: usize, max: usize) -> Result<usize, Invalid> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= max => Ok(size),
        Ok(_) | Err(_) => Err(Invalid::field("page_size", format!("must be at most {max}"))),
    }
}

fn unknown_token() -> Error {
    Invalid::field("page_token", "must come from the page before").into()
}
