/** What a JSON Schema says of a setting. */
interface Setting {
  description?: string;
  type?: string;
  default?: unknown;
  enum?: readonly unknown[];
  anyOf?: readonly Setting[];
  items?: Setting | readonly Setting[];
  properties?: Record<string, Setting>;
}

const COMMANDS: Record<string, string> = {
  sft: 'Stage 1, `finer1 sft --config FILE`',
  tapo: 'Stage 2, `finer1 tapo --config FILE`',
};

/**
 * The page that lists all settings, in Markdown.
 * @param schemas JSON Schemas of the configs, by name (`editorSchemas`)
 */
export function configDocs(schemas: Readonly<Record<string, unknown>>): string {
  const sections = Object.entries(schemas).map(
    ([name, schema]) => `## ${COMMANDS[name] ?? name}\n\n${table(schema as Setting)}`,
  );
  return `${INTRODUCTION}\n${sections.join('\n\n')}\n`;
}

const INTRODUCTION = `# Configs

<!-- Written by \`npx tsx scripts/write-schemas.ts\` from src/config; do not edit. -->

A config is YAML. \`extends: other.yaml\` takes over another one: maps merge, lists are replaced, \`null\` takes a setting
away. \`--set path.to.key=value\` wins over the file. Paths are relative to the config. A misspelt key is an error that names
file, line and column. Editors that know the YAML language server complete and check configs by \`configs/schemas\`.
`;

const table = (schema: Setting): string =>
  ['| setting | value | default | what |', '| --- | --- | --- | --- |', ...rows(schema, '')].join('\n');

function rows({ properties = {} }: Setting, path: string): string[] {
  return Object.entries(properties).flatMap(([key, setting]) => {
    const isMap = setting.properties !== undefined;
    const fallback = isMap || setting.default === undefined ? '' : code(setting.default);
    const cells = [`\`${path}${key}\``, isMap ? '' : values(setting), fallback, setting.description ?? ''];
    return [`| ${cells.map(escape).join(' | ')} |`, ...rows(setting, `${path}${key}.`)];
  });
}

function values({ type, enum: choices, anyOf, items }: Setting): string {
  if (anyOf !== undefined) return anyOf.map(values).join(' or ');
  if (choices !== undefined) return choices.map(code).join(', ');
  if (type !== 'array') return type ?? '';
  return `list of ${Array.isArray(items) ? (items as Setting[]).map(values).join(', ') : values((items ?? {}) as Setting)}`;
}

const code = (value: unknown): string =>
  `\`${typeof value === 'string' ? value || "''" : JSON.stringify(value)}\``;
const escape = (cell: string): string => cell.replaceAll('|', '\\|');
