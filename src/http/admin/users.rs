//! `/admin/api/users`: people, as an owner manages them.

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::{Role, User, UserId};
use crate::http::problem::Problem;
use crate::http::request::auth::Admin;
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::service::{Kind, ServiceError};

use super::Tag;
use super::shapes::{Done, Made, Whole};

/// A person who may sign in.
#[derive(Object)]
#[oai(rename = "User")]
struct UserObject {
    /// UUID of the user.
    id: String,
    email: String,
    /// `viewer`, `admin` or `owner`.
    role: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC; null before the first time.
    last_sign_in_at: Option<String>,
    /// The generated password, shown only once.
    #[oai(skip_serializing_if_is_none)]
    password: Option<String>,
}

impl UserObject {
    fn of(user: &User, password: Option<String>) -> UserObject {
        UserObject {
            id: user.id.to_string(),
            email: user.email.clone(),
            role: user.role.to_string(),
            created_at: user.created_at.to_string(),
            last_sign_in_at: user.last_sign_in_at.map(|t| t.to_string()),
            password,
        }
    }
}

/// A user to make.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct UserBody {
    /// The address to sign in with.
    email: String,
    /// `viewer`, `admin` or `owner`.
    role: String,
    /// 10 characters or more; without it one is made and shown once.
    password: Option<String>,
}

impl BodyShape for UserBody {}

/// What changes about a user.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct UserChangeBody {
    /// `viewer`, `admin` or `owner`.
    role: Option<String>,
    /// 10 characters or more.
    password: Option<String>,
}

impl BodyShape for UserChangeBody {}

/// The operations.
pub struct UsersApi;

#[OpenApi(tag = "Tag::People")]
impl UsersApi {
    /// List users
    ///
    /// Everybody who may sign in, by address.
    #[oai(path = "/users", method = "get", operation_id = "list_users")]
    async fn list(&self, auth: Admin) -> Result<Answer<Whole<UserObject>>, Problem> {
        let users = auth.state.services.accounts.users().await?;
        Ok(Answer(Whole { data: users.iter().map(|user| UserObject::of(user, None)).collect() }))
    }

    /// Create a user
    ///
    /// Without `password`, one is made and shown in the answer, this once.
    #[oai(path = "/users", method = "post", operation_id = "create_user")]
    async fn create(&self, auth: Admin, body: Json<UserBody>) -> Result<Made<UserObject>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["email", "role", "password"])?;
        fields.require("email");
        fields.require("role");
        let email = fields.get::<String>("email", "text").unwrap_or_default();
        let role = role(&mut fields);
        let password = fields.nullable::<String>("password", "text").flatten();
        fields.finish()?;
        let role = role.ok_or_else(Problem::internal)?;
        let accounts = &auth.state.services.accounts;
        let (user, made) = accounts.create_user(&auth.caller.by, &email, role, password).await?;
        Ok(Made::Made(Answer(UserObject::of(&user, made))))
    }

    /// Change a user
    ///
    /// Another role, another password, or both; the user's sessions end. The last owner stays one: 409.
    #[oai(path = "/users/:id", method = "patch", operation_id = "change_user")]
    async fn change(
        &self,
        auth: Admin,
        id: Path<String>,
        body: Json<UserChangeBody>,
    ) -> Result<Answer<UserObject>, Problem> {
        let id = user_id(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["role", "password"])?;
        let role = role(&mut fields);
        let password = fields.get::<String>("password", "text");
        fields.finish()?;
        let accounts = &auth.state.services.accounts;
        let user = accounts.change_user(&auth.caller.by, id, role, password.as_deref()).await?;
        Ok(Answer(UserObject::of(&user, None)))
    }

    /// Delete a user
    ///
    /// Their sessions end. Nobody deletes themselves, nor the last owner: 409.
    #[oai(path = "/users/:id", method = "delete", operation_id = "delete_user")]
    async fn delete(&self, auth: Admin, id: Path<String>) -> Result<Done, Problem> {
        auth.state.services.accounts.delete_user(&auth.caller.by, user_id(&id)?).await?;
        Ok(Done::Done)
    }
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    Ok(text.parse().map_err(|_| ServiceError::NotFound(Kind::User))?)
}

/// The field `role`, if it is there.
fn role(fields: &mut Fields<'_>) -> Option<Role> {
    let shape = "viewer, admin or owner";
    let text = fields.get::<String>("role", shape)?;
    let role = Role::parse(&text);
    if role.is_none() {
        fields.fail("role", format!("must be {shape}"));
    }
    role
}
