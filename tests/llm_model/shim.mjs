// A chat-completions endpoint before a small model: `node shim.mjs FOLDER MODEL THREADS`. FOLDER has node_modules with
// node-llama-cpp. Prints its port. One request at a time.
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, threads] = process.argv.slice(2);
const library = path.resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const { getLlama, LlamaChatSession } = await import(pathToFileURL(library).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: Number(threads) });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 4096, threads: Number(threads) });

async function complete(body) {
    const sequence = context.getSequence();
    const earlier = body.messages.slice(0, -1).map(({ role, content }) =>
        role === "assistant" ? { type: "model", response: [content] } : { type: role, text: content });
    try {
        const session = new LlamaChatSession({ contextSequence: sequence });
        session.setChatHistory(earlier);
        const asked = body.response_format;
        const grammar = asked?.type === "json_schema" ? await llama.createGrammarForJsonSchema(asked.json_schema.schema)
            : asked?.type === "json_object" ? await llama.getGrammarFor("json") : undefined;
        const before = sequence.tokenMeter.getState();
        const { responseText, stopReason } = await session.promptWithMeta(body.messages.at(-1).content,
            { grammar, maxTokens: body.max_tokens ?? 256, temperature: body.temperature ?? 0 });
        const used = sequence.tokenMeter.diff(before);
        return {
            id: "shim", object: "chat.completion", created: 0, model: body.model,
            choices: [{ index: 0, message: { role: "assistant", content: responseText },
                finish_reason: stopReason === "maxTokens" ? "length" : "stop" }],
            usage: { prompt_tokens: used.usedInputTokens, completion_tokens: used.usedOutputTokens,
                total_tokens: used.usedInputTokens + used.usedOutputTokens },
        };
    } finally {
        sequence.dispose();
    }
}

let last = Promise.resolve();
const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const answer = (status, value) => {
        response.writeHead(status, { "Content-Type": "application/json" });
        response.end(JSON.stringify(value));
    };
    last = last.then(() => complete(JSON.parse(Buffer.concat(parts).toString("utf-8"))))
        .then((value) => answer(200, value), (error) => answer(400, { error: { message: String(error) } }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
