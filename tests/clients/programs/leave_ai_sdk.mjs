// The Vercel AI SDK, left early: a stream that is aborted, a call that runs out of time.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, streamText } from 'ai';

const [url, problem, way] = process.argv.slice(2);
const model = createOpenAICompatible({ name: 'reasonflux', baseURL: `${url}/v1` })('reasonflux');

if (way === 'stream') {
  const leaving = new AbortController();
  const { fullStream } = streamText({ model, prompt: problem, abortSignal: leaving.signal, maxRetries: 0 });
  for await (const part of fullStream) {
    if (part.type !== 'reasoning-delta') continue;
    console.log('heard', part.text);
    leaving.abort();
    break;
  }
} else {
  try {
    await generateText({ model, prompt: problem, abortSignal: AbortSignal.timeout(2000), maxRetries: 0 });
  } catch (error) {
    console.log('error', error.name);
  }
}
console.log('left');
setInterval(() => {}, 1000); // the process stays, so that its end is not what closes the connection
