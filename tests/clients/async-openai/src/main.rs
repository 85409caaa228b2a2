//! A program that uses async-openai as its documentation does: one question, streamed or whole, at
//! the library's default settings.

use std::env;
use std::error::Error;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let form = env::args()
        .nth(1)
        .ok_or("usage: clawfront-async-openai stream|whole QUESTION")?;
    let question = env::args().nth(2).ok_or("the question is missing")?;
    // Reads OPENAI_BASE_URL and OPENAI_API_KEY.
    let client = Client::with_config(OpenAIConfig::default());
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content(question)
        .build()?;
    let mut request = CreateChatCompletionRequestArgs::default();
    request.model("openclaw").messages([message.into()]);
    if form == "whole" {
        let completion = client.chat().create(request.build()?).await?;
        for choice in completion.choices {
            println!("{}", choice.message.content.unwrap_or_default());
        }
        return Ok(());
    }
    let mut stream = client.chat().create_stream(request.build()?).await?;
    while let Some(chunk) = stream.next().await {
        for choice in chunk?.choices {
            print!("{}", choice.delta.content.unwrap_or_default());
        }
    }
    println!();
    Ok(())
}
