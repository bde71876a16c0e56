// The Vercel AI SDK, refused: what it throws, and whether it comes back when it was told to.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText } from 'ai';

const [url, good, busy, prompt] = process.argv.slice(2);
const at = (apiKey) => createOpenAICompatible({ name: 'reasonflux', baseURL: `${url}/v1`, apiKey });

async function refused(key, model = 'reasonflux') {
  try {
    await generateText({ model: at(key)(model), prompt, maxRetries: 0 });
  } catch (error) {
    return { error: APICallError.isInstance(error) && 'APICallError', status: error.statusCode, says: error.message };
  }
}

const report = {
  'bad key': await refused('wrong'),
  'no such model': await refused(good, 'poems'),
  'too many': await refused(busy),
  answer: (await generateText({ model: at(busy)('reasonflux'), prompt })).text,
};
console.log(JSON.stringify(report));
