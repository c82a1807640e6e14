import { type TextKey, en } from './en.js';
import { zh } from './zh.js';

export type { TextKey };
export type Language = 'en' | 'zh';

export type Values = Readonly<Record<string, string | number>>;
export type Translate = (key: TextKey, values?: Values) => string;

const texts: Readonly<Record<Language, Readonly<Record<TextKey, string>>>> = { en, zh };

/** The language of the browser, if it is one of ours. */
export const preferredLanguage = (): Language =>
  navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';

export function translator(language: Language): Translate {
  return (key, values = {}) =>
    texts[language][key].replace(/\{(\w+)\}/g, (whole, name: string) =>
      String(values[name] ?? whole),
    );
}
