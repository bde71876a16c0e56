// The Vercel AI SDK with its provider for OpenAI-compatible servers: generateText, streamText, a conversation, an error.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, streamText } from 'ai';

const [url, problem, followUp] = process.argv.slice(2);
const reasonflux = createOpenAICompatible({ name: 'reasonflux', baseURL: `${url}/v1`, includeUsage: true });
const model = reasonflux('reasonflux');
const providerOptions = { reasonflux: { reasoningEffort: 'low' } };

const told = ({ text, reasoningText, finishReason, usage }) => ({ text, reasoning: reasoningText, finishReason, usage });

const plain = await generateText({ model, prompt: problem, providerOptions, maxRetries: 0 });

const stream = streamText({ model, prompt: problem, maxRetries: 0 });
const parts = [];
for await (const part of stream.fullStream) parts.push(part.type);
const streamed = {
  text: await stream.text,
  reasoningText: await stream.reasoningText,
  finishReason: await stream.finishReason,
  usage: await stream.usage,
};

const conversation = await generateText({
  model,
  messages: [{ role: 'user', content: problem }, ...plain.response.messages, { role: 'user', content: followUp }],
  maxRetries: 0,
});

let refused;
try {
  await generateText({ model: reasonflux('poems'), prompt: problem, maxRetries: 0 });
} catch (error) {
  refused = { known: APICallError.isInstance(error), status: error.statusCode, message: error.message };
}

const session = plain.response.body.reasonflux.session_id;
const report = { session, plain: told(plain), streamed: told(streamed), parts, conversation: told(conversation), refused };
console.log(JSON.stringify(report));
